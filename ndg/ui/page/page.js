"use strict";
// Texts of runs are shown by textContent alone, so that they are never read as HTML.

const find = (id) => document.getElementById(id);
const state = { sort: "", write: false };
const asked = { runs: 0, details: 0 };
const COLOURS = ["#3b78c4", "#d1603d", "#4a9a5a", "#8a5bb5", "#b58a2b", "#3a9d9d", "#c2478b", "#777"];
const DASHES = ["none", "6 3", "2 3", "8 3 2 3"];

function make(tag, text, settings = {}) {
  const element = Object.assign(document.createElement(tag), settings);
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toPrecision(5);
  return Array.isArray(value) ? value.map(shown).join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function say(text, error = false) {
  find("message").textContent = text;
  find("message").className = error ? "error" : "";
}

async function ask(path, settings) {
  const response = await fetch(path, settings);
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) {
    say(answer.error, true);
    throw new Error("refused");
  }
  return answer;
}

// Answers can come in another order than their questions: only that of the last question is shown.
function question(place) {
  asked[place] += 1;
  const number = asked[place];
  return { last: () => number === asked[place] };
}

const quietly = (work) => (...words) => Promise.resolve(work(...words)).catch((error) => {
  if (error.message !== "refused") say(`the server does not answer (${error.message})`, true);
});

const list = quietly(async () => {
  const { last } = question("runs");
  const words = new URLSearchParams({ where: find("where").value, columns: find("columns").value, sort: state.sort });
  const table = await ask(`api/runs?${words}`);
  if (!last()) return;
  const ticked = new Set(chosen());
  state.write = table.write;
  say(`${table.ids.length} runs`);
  const head = make("tr");
  head.append(make("th"), make("th", "id"));
  for (const column of table.columns) {
    const cell = make("th");
    const mark = state.sort === column ? " ▲" : state.sort === `-${column}` ? " ▼" : "";
    const button = make("button", column.replace(/^results\./, "") + mark, { title: `sort by ${column}` });
    button.onclick = () => {
      state.sort = state.sort === `-${column}` ? column : `-${column}`;
      list();
    };
    cell.append(button);
    head.append(cell);
  }
  find("runs").tHead.replaceChildren(head);
  find("runs").tBodies[0].replaceChildren(...table.ids.map((id, i) => {
    const row = make("tr");
    const tick = make("td");
    tick.append(make("input", null, { type: "checkbox", value: id, checked: ticked.has(id), ariaLabel: `choose ${id}` }));
    const name = make("td");
    const link = make("a", id, { href: "#" });
    link.onclick = (event) => { event.preventDefault(); open(id); };
    name.append(link);
    row.append(tick, name, ...table.values.map((column) => {
      return make("td", shown(column[i]), { className: typeof column[i] === "number" ? "number" : "" });
    }));
    return row;
  }));
});

const chosen = () => [...document.querySelectorAll("#runs input:checked")].map((box) => box.value);

const several = (path, ids) => ask(`${path}?${ids.map((id) => `run=${encodeURIComponent(id)}`).join("&")}`);

function lines(rows, heads = []) {
  const table = make("table");
  if (heads.length) {
    const head = make("tr");
    head.append(...heads.map((text) => make("th", text)));
    table.append(head);
  }
  for (const row of rows) {
    const line = make("tr");
    line.append(...row.map((value) => make("td", shown(value))));
    table.append(line);
  }
  return table;
}

const open = quietly(async (id) => {
  const { last } = question("details");
  const run = await ask(`api/run/${encodeURIComponent(id)}`);
  if (!last()) return;
  const details = find("details");
  details.replaceChildren(make("h2", run._id), make("p", `${run.state}; ${run.folder}`));
  for (const page of run.pages) {
    const link = make("a", page, { href: `file/${encodeURIComponent(id)}/${encodeURIComponent(page)}`, target: "_blank" });
    link.rel = "noopener";
    details.append(link, " ");
  }
  const edits = make("p", `tags: ${run.tags.join(", ") || "none"}; notes: ${run.notes || "none"}`, { id: "edits" });
  details.append(edits);
  if (state.write) {
    for (const kind of ["tag", "untag", "note"]) {
      const form = make("form", null, { id: kind });
      const text = make("input", null, { ariaLabel: kind });
      form.append(text, make("button", kind));
      form.onsubmit = quietly(async (event) => {
        event.preventDefault();
        await ask(`api/run/${encodeURIComponent(id)}/${kind}`, { method: "POST", body: text.value });
        await list();
        await open(id);
      });
      details.append(form);
    }
  }
  for (const section of ["results", "config"]) {
    const block = make("details", null, { open: section === "results" });
    block.append(make("summary", section), lines(run[section]));
    details.append(block);
  }
});

find("compare").onclick = quietly(async () => {
  const ids = chosen();
  if (ids.length < 2) return say("choose two or more runs to compare", true);
  const { last } = question("details");
  const rows = await several("api/compare", ids);
  if (last()) find("details").replaceChildren(make("h2", "Comparison"), lines(rows, ["", ...ids]));
});

find("curves").onclick = quietly(async () => {
  const ids = chosen();
  if (!ids.length) return say("choose runs whose learning curves to draw", true);
  const { last } = question("details");
  const runs = await several("api/metrics", ids);
  if (!last()) return;
  const names = [...new Set(Object.values(runs).flat().flatMap((row) => Object.keys(row)))].filter((name) => name !== "epoch");
  const select = make("select", null, { ariaLabel: "metric" });
  select.append(...names.map((name) => make("option", name, { value: name })));
  const picture = make("div");
  select.onchange = () => picture.replaceChildren(curves(runs, select.value));
  find("details").replaceChildren(make("h2", "Learning curves"), select, picture);
  if (names.length) select.onchange();
  else say("these runs have no metrics", true);
});

function curves(runs, name) {
  const space = "http://www.w3.org/2000/svg";
  const draw = (tag, settings, text) => {
    const element = document.createElementNS(space, tag);
    for (const [key, value] of Object.entries(settings)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const series = Object.entries(runs).map(([id, rows]) => [id, rows
    .map((row, i) => [typeof row.epoch === "number" ? row.epoch : i, row[name]])
    .filter(([, value]) => typeof value === "number")]);
  const points = series.flatMap(([, line]) => line);
  const tall = 342 + 12 * Math.ceil(series.length / 3);
  const svg = draw("svg", { width: 800, height: tall, viewBox: `0 0 800 ${tall}`, role: "img", "aria-label": name });
  if (!points.length) return svg;
  const range = (axis) => {
    const values = points.map((point) => point[axis]);
    const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    return [low, high === low ? low + 1 : high];
  };
  const [[left, right], [low, high]] = [range(0), range(1)];
  const x = (value) => 60 + (720 * (value - left)) / (right - left);
  const y = (value) => 300 - (280 * (value - low)) / (high - low);
  for (let i = 0; i <= 4; i += 1) {
    const value = low + ((high - low) * i) / 4;
    svg.append(draw("line", { x1: 60, x2: 780, y1: y(value), y2: y(value), stroke: "#8884" }));
    svg.append(draw("text", { x: 52, y: y(value) + 4, "text-anchor": "end" }, value.toPrecision(3)));
    const step = left + ((right - left) * i) / 4;
    svg.append(draw("text", { x: x(step), y: 318, "text-anchor": "middle" }, Number(step.toPrecision(3))));
  }
  series.forEach(([id, line], i) => {
    const colour = COLOURS[i % COLOURS.length];
    const dash = DASHES[Math.floor(i / COLOURS.length) % DASHES.length];
    const drawn = { stroke: colour, "stroke-width": 1.5, "stroke-dasharray": dash };
    const [across, down] = [60 + 240 * (i % 3), 336 + 12 * Math.floor(i / 3)];
    const path = line.map(([step, value]) => `${x(step)},${y(value)}`).join(" ");
    svg.append(draw("polyline", { points: path, fill: "none", "data-run": id, ...drawn }));
    svg.append(draw("line", { x1: across, x2: across + 20, y1: down - 4, y2: down - 4, ...drawn }));
    const legend = draw("text", { x: across + 24, y: down }, id.slice(-32));
    legend.style.fill = colour;
    svg.append(legend);
  });
  return svg;
}

find("query").onsubmit = (event) => { event.preventDefault(); list(); };
list();
