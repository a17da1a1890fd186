"use strict";
// Draws the inspector from the JSON beside it. State: an image, a layer, a step; every draw is a function of the three.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  for (const image of data.images) {
    for (const take of image.takes) {
      take.pixels = bytes(take.pixels);
      take.spikes = take.spikes.map(bytes);
    }
  }
  const state = { image: 0, layer: 0, step: 1 };
  const T = data.steps;
  const spike = (codes, neuron, t) => (codes[neuron * data.planes + (t >> 3)] >> (t & 7)) & 1; // t from 0
  const className = (k) => (k === null || k === undefined ? "unknown" : data.classes[k] ?? String(k));

  // Colours of the style sheet, light or dark.
  const colour = (name) => {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  let ink = {};
  const readInks = () => {
    ink = { clean: colour("robust"), attacked: colour("natural"), both: colour("muted"), none: colour("grid"), gap: colour("card") };
  };
  const takeInk = (take) => [ink.clean, ink.attacked][take];
  const css = (take) => (take === 0 ? "var(--robust)" : "var(--natural)");

  const element = (name, attributes = {}, text = "") => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const svg = (width, height, label, inside) =>
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${inside}</svg>`;

  // A figure with a canvas of width x height pixels; paint(x, y) gives a colour.
  const figure = (width, height, caption, paint) => {
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) picture.data.set([...paint(x, y), 255], 4 * (y * width + x));
    }
    context.putImageData(picture, 0, 0);
    const made = element("figure");
    made.append(canvas, element("figcaption", {}, caption));
    return made;
  };

  const drawPictures = () => {
    const image = data.images[state.image];
    const { height, width, channels } = data;
    const pixel = (pixels, x, y, c) => pixels[(y * width + x) * channels + Math.min(c, channels - 1)];
    const shown = image.takes.map((take, which) => {
      const told = `${data.names[which]}: ${className(take.predicted)} at the end`;
      return figure(width, height, told, (x, y) => [0, 1, 2].map((c) => pixel(take.pixels, x, y, c)));
    });
    if (image.takes.length === 2) {
      const [a, b] = image.takes.map((take) => take.pixels);
      const shift = (x, y, c) => Math.max(0, Math.min(255, 128 + 10 * (pixel(b, x, y, c) - pixel(a, x, y, c))));
      shown.push(figure(width, height, "change × 10", (x, y) => [0, 1, 2].map((c) => shift(x, y, c))));
    }
    at("pictures").replaceChildren(...shown);
  };

  // Mean logits of the steps up to t (from 0), and the class of the largest.
  const means = (take, t) => {
    const classes = data.classes.length;
    return Array.from({ length: classes }, (_, k) => {
      let sum = 0;
      for (let step = 0; step <= t; step++) sum += take.logits[step * classes + k];
      return sum / (t + 1);
    });
  };
  const seen = (take, t) => means(take, t).reduce((best, value, k, all) => (value > all[best] ? k : best), 0);

  const drawVotes = () => {
    const image = data.images[state.image];
    const all = image.takes.map((take) => means(take, state.step - 1));
    const [low, high] = [Math.min(0, ...all.flat()), Math.max(0, ...all.flat())];
    const row = 15, left = 118, wide = 300, order = data.classes.map((_, k) => k);
    order.sort((a, b) => Math.max(...all.map((v) => v[b])) - Math.max(...all.map((v) => v[a])));
    const x = (value) => left + ((value - low) / (high - low || 1)) * wide;
    const shown = order.slice(0, 10);
    const bars = shown.map((k, place) => {
      const y = 4 + place * (row + 5);
      const half = row / all.length;
      const marks = all.map((values, take) => {
        const [from, to] = [Math.min(x(0), x(values[k])), Math.max(x(0), x(values[k]))];
        return `<rect x="${from}" y="${y + take * half}" width="${to - from}" height="${half - 1}" style="fill:${css(take)}"/>`;
      });
      const strong = k === image.label ? ' class="strong"' : "";
      return `<text${strong} x="${left - 8}" y="${y + 11}" text-anchor="end">${escape(className(k))}</text>${marks.join("")}`;
    });
    const zero = `<line x1="${x(0)}" x2="${x(0)}" y1="0" y2="${shown.length * (row + 5)}" style="stroke:var(--line)"/>`;
    const told = image.takes.map((take, which) => `${data.names[which]}: ${className(seen(take, state.step - 1))}`).join(", ");
    at("votes").innerHTML =
      `<p class="small">Mean logits of steps 1 to ${state.step}; ${escape(told)}; true: ${escape(className(image.label))}.</p>` +
      svg(left + wide + 6, shown.length * (row + 5) + 4, escape(`Logits by now; ${told}`), zero + bars.join(""));
  };
  const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

  const drawHistogram = () => {
    const layer = data.layers[state.layer];
    const shares = layer.histograms.map((counts) => {
      const all = counts.reduce((sum, n) => sum + n, 0) || 1;
      return counts.map((n) => (100 * n) / all);
    });
    const most = Math.max(...shares.flat(), 1e-9);
    const [wide, high, left] = [390, 150, 30];
    const cell = wide / (T + 1);
    const every = Math.max(1, Math.ceil((T + 1) / 12));
    const bars = shares.flatMap((values, take) =>
      values.map((share, count) => {
        const w = (0.8 * cell) / shares.length;
        const h = (share / most) * high;
        const title = `<title>${count} of ${T} steps: ${share.toFixed(2)} % of the neurons (${data.names[take]})</title>`;
        return `<rect x="${left + (count + 0.1) * cell + take * w}" y="${12 + high - h}" width="${w}" height="${h}" style="fill:${css(take)}">${title}</rect>`;
      }));
    const labels = shares[0].map((_, count) =>
      count % every ? "" : `<text x="${left + (count + 0.5) * cell}" y="${high + 27}" text-anchor="middle">${count}</text>`);
    const axis = `<text x="${left - 4}" y="20" text-anchor="end">${most.toFixed(0)}%</text><line x1="${left}" x2="${left + wide}" y1="${12 + high}" y2="${12 + high}" style="stroke:var(--line)"/>`;
    at("histogram").innerHTML =
      `<p class="small">${escape(layer.name)}, all images: % of its neurons by their spikes in ${T} steps.</p>` +
      svg(left + wide + 4, high + 34, "Histogram of firing rates", axis + bars.join("") + labels.join(""));
  };

  // The channels of a layer as tiles of one map; place(x, y) gives the neuron under a pixel, or -1 between tiles.
  const layout = () => {
    const [channels, height, width] = data.layers[state.layer].shape;
    const columns = Math.max(1, Math.min(channels, Math.round(Math.sqrt((channels * (height + 1)) / (width + 1)))));
    const rows = Math.ceil(channels / columns);
    const gap = height * width > 1 ? 1 : 0;
    const place = (x, y) => {
      const [column, row] = [Math.floor(x / (width + gap)), Math.floor(y / (height + gap))];
      const [u, v, c] = [x - column * (width + gap), y - row * (height + gap), row * columns + column];
      return u >= width || v >= height || c >= channels ? -1 : (v * width + u) * channels + c;
    };
    return { width: columns * (width + gap) - gap, height: rows * (height + gap) - gap, place };
  };

  const drawMaps = () => {
    const image = data.images[state.image];
    const { width, height, place } = layout();
    const t = state.step - 1;
    const codes = image.takes.map((take) => take.spikes[state.layer]);
    const fired = (take) => {
      let count = 0;
      const neurons = codes[take].length / data.planes;
      for (let neuron = 0; neuron < neurons; neuron++) count += spike(codes[take], neuron, t);
      return `${data.names[take]}: ${count} of ${neurons} neurons spike`;
    };
    const maps = codes.map((code, take) =>
      figure(width, height, fired(take), (x, y) => {
        const neuron = place(x, y);
        return neuron < 0 ? ink.gap : spike(code, neuron, t) ? takeInk(take) : ink.none;
      }));
    if (codes.length === 2) {
      let differ = 0;
      const change = figure(width, height, "", (x, y) => {
        const neuron = place(x, y);
        if (neuron < 0) return ink.gap;
        const [a, b] = codes.map((code) => spike(code, neuron, t));
        differ += a ^ b;
        return a && b ? ink.both : a ? ink.clean : b ? ink.attacked : ink.none;
      });
      change.lastChild.textContent = `both: ${differ} neurons differ (blue: only clean, orange: only attacked, grey: both spike)`;
      maps.push(change);
    }
    at("maps").replaceChildren(...maps);
    for (const map of maps) map.firstChild.addEventListener("pointermove", (event) => point(event, place));
  };

  const point = (event, place) => {
    const canvas = event.currentTarget;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [
      Math.floor(((event.clientX - box.left) / box.width) * canvas.width),
      Math.floor(((event.clientY - box.top) / box.height) * canvas.height),
    ];
    const neuron = place(x, y);
    if (neuron < 0) return;
    const [channels, , width] = data.layers[state.layer].shape;
    const [c, u, v] = [neuron % channels, Math.floor(neuron / channels) % width, Math.floor(neuron / channels / width)];
    const train = (take) => Array.from({ length: T }, (_, t) => (spike(take.spikes[state.layer], neuron, t) ? "▮" : "▯")).join("");
    const told = data.images[state.image].takes.map((take, which) => `${data.names[which]} ${train(take)}`).join("   ");
    at("pointed").textContent = `x ${u}, y ${v}, c ${c}:  ${told}`;
  };

  const drawRaster = () => {
    const image = data.images[state.image];
    const rows = image.rows[state.layer];
    const [cellW, cellH] = [Math.max(2, Math.floor(192 / T)), 3];
    const figures = image.takes.map((take, which) =>
      figure(T * cellW, Math.max(1, rows.length) * cellH, `${data.names[which]}, steps 1 to ${T}`, (x, y) => {
        const [t, neuron] = [Math.floor(x / cellW), rows[Math.floor(y / cellH)]];
        const edge = y % cellH === cellH - 1 || x % cellW === cellW - 1;
        if (neuron !== undefined && !edge && spike(take.spikes[state.layer], neuron, t)) return takeInk(which);
        return t === state.step - 1 ? ink.none : ink.gap;
      }));
    at("raster").replaceChildren(...figures);
  };

  const drawTraces = () => {
    const image = data.images[state.image];
    const layer = data.layers[state.layer];
    const mine = image.courses.filter((course) => course.layer === state.layer);
    const [wide, high, left, top] = [380, 120, 34, 16];
    const one = (course) => {
      const values = course.takes.flatMap((take) => [...take.x, ...take.u]).concat([0, layer.v_th]);
      const [low, most] = [Math.min(...values), Math.max(...values)];
      const x = (t) => left + (t / (T + 0.4)) * wide;
      const y = (value) => top + high - ((value - low) / (most - low || 1)) * high;
      const line = (points, style) =>
        `<polyline points="${points.map(([t, value]) => `${x(t).toFixed(1)},${y(value).toFixed(1)}`).join(" ")}" style="fill:none;${style}"/>`;
      const drawn = course.takes.map((take, which) => {
        const points = [[0, 0]];
        let ticks = "";
        take.u.forEach((u, t) => {
          points.push([t + 1, u]);
          if (u >= layer.v_th) {
            points.push([t + 1, data.soft ? u - layer.v_th : 0]);
            ticks += `<rect x="${x(t + 1) - 4 + 4.5 * which}" y="2" width="3.5" height="10" style="fill:${css(which)}"/>`;
          }
        });
        const currents = take.x.map((value, t) => [t + 1, value]);
        return line(currents, `stroke:${css(which)};stroke-width:1;stroke-dasharray:4 3`) + line(points, `stroke:${css(which)};stroke-width:2`) + ticks;
      });
      const rule = (value, style) => `<line x1="${left}" x2="${left + wide}" y1="${y(value)}" y2="${y(value)}" style="${style}"/>`;
      const now = `<line x1="${x(state.step)}" x2="${x(state.step)}" y1="${top}" y2="${top + high}" style="stroke:var(--muted);stroke-width:1"/>`;
      const [u, v, c] = course.at;
      const label = `<text x="${left - 4}" y="${y(layer.v_th) + 4}" text-anchor="end">${layer.v_th.toFixed(2)}</text><text x="${left - 4}" y="${y(0) + 4}" text-anchor="end">0</text>`;
      const frame = rule(0, "stroke:var(--line)") + rule(layer.v_th, "stroke:var(--wrong);stroke-dasharray:5 4");
      const name = `Membrane of the neuron at x ${u}, y ${v}, channel ${c}`;
      return `<p class="small">x ${u}, y ${v}, c ${c}</p>` + svg(left + wide + 6, top + high + 6, name, frame + now + drawn.join("") + label);
    };
    at("traces").innerHTML = mine.length ? mine.map(one).join("") : '<p class="small">No neuron of this layer was chosen.</p>';
  };

  const draw = () => {
    at("now").textContent = `t = ${state.step} of ${T}`;
    at("time").value = state.step;
    document.querySelectorAll(".layer-name").forEach((span) => (span.textContent = data.layers[state.layer].name));
    document.querySelectorAll(".step").forEach((span) => (span.textContent = state.step));
    press("images", state.image);
    press("layers", state.layer);
    document.querySelectorAll("table.layers tbody tr").forEach((row, place) => row.classList.toggle("chosen", place === state.layer));
    [drawPictures, drawVotes, drawHistogram, drawMaps, drawRaster, drawTraces].forEach((part) => part());
  };
  const press = (id, chosen) =>
    [...at(id).children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === chosen)));
  const choose = (change) => {
    Object.assign(state, change);
    draw();
  };

  const buttons = (id, names, key) =>
    at(id).append(
      ...names.map((name, place) => {
        const button = element("button", { type: "button" }, name);
        button.addEventListener("click", () => choose({ [key]: place }));
        return button;
      }));
  buttons("images", data.images.map((image) => `${image.id}: ${className(image.label)}`), "image");
  buttons("layers", data.layers.map((layer) => layer.name), "layer");
  document.querySelectorAll("button[data-layer]").forEach((button) =>
    button.addEventListener("click", () => {
      choose({ layer: Number(button.dataset.layer) });
      at("inspector").scrollIntoView();
    }));
  at("time").max = T;
  at("time").addEventListener("input", () => choose({ step: Number(at("time").value) }));
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    at("play").textContent = "Play";
  };
  at("play").addEventListener("click", () => {
    if (timer) return stop();
    at("play").textContent = "Stop";
    timer = setInterval(() => choose({ step: (state.step % T) + 1 }), 700);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readInks();
    draw();
  });
  readInks();
  draw();
})();
