"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { layers, measures, ways, classes, edges } = data;
  const count = classes.members.length, arcs = edges.tail.length;
  const WIDE = 138, HIGH = 22, LETTERS = 19, LISTED = 300;
  const element = (id) => document.getElementById(id);
  const make = (tag, text, parent, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    if (parent) parent.append(made);
    return made;
  };
  const short = (text) => ([...text].length > LETTERS ? [...text].slice(0, LETTERS - 1).join("") + "…" : text);
  const figure = (value, digits = 3) => (value === null || value === undefined ? "unknown" : String(+value.toPrecision(digits)));
  const whole = (number) => number.toLocaleString("en-US");
  const sign = { self: "●", follows: "▸", implies: "◂", contradicts: "✕" };

  // --- the graph -----------------------------------------------------------------------------------------------
  const listed = (from) => {
    const starts = new Uint32Array(count + 1), at = new Uint32Array(count), list = new Uint32Array(arcs);
    for (const node of from) starts[node + 1] += 1;
    for (let node = 0; node < count; node += 1) starts[node + 1] += starts[node];
    for (let edge = 0; edge < arcs; edge += 1) list[starts[from[edge]] + at[from[edge]]++] = edge;
    return (node) => list.subarray(starts[node], starts[node + 1]);
  };
  const leaving = listed(edges.tail), entering = listed(edges.head);

  const MEMBER = "member", CONCLUSION = "conclusion", VOTE = "vote", IMPLICATION = "implication";
  const joined = (node) => classes.about[node] !== "";
  const anyJoined = classes.about.some((text) => text !== "");
  const needed = new Uint32Array(count);
  for (let edge = 0; edge < arcs; edge += 1) if (edges.kind[edge] === MEMBER) needed[edges.head[edge]] += 1;

  /** Nodes that follow from one, itself included; a conjunction fires once all its members follow. */
  const following = (start) => {
    const seen = new Uint8Array(count), held = new Uint32Array(count), waiting = [start], order = [start];
    seen[start] = 1;
    while (waiting.length) {
      for (const edge of leaving(waiting.pop())) {
        const node = edges.head[edge], kind = edges.kind[edge];
        if (kind === VOTE || seen[node]) continue;
        if (kind === MEMBER && ((held[node] += 1) < needed[node] || !classes.fires[node])) continue;
        seen[node] = 1;
        waiting.push(node);
        order.push(node);
      }
    }
    return { seen, order };
  };
  /** Nodes from each of which alone this one follows, itself included. */
  const leading = (end) => {
    if (anyJoined) return [...classes.texts.keys()].filter((node) => !joined(node) && following(node).seen[end]);
    const seen = new Set([end]), waiting = [end];
    while (waiting.length) {
      for (const edge of entering(waiting.pop())) {
        const node = edges.tail[edge];
        if (edges.kind[edge] === IMPLICATION && !seen.has(node)) { seen.add(node); waiting.push(node); }
      }
    }
    return [...seen];
  };
  const literals = (nodes) => {
    let sum = 0;
    for (const node of nodes) if (!joined(node)) sum += classes.members[node].length;
    return sum;
  };

  // --- what is shown -------------------------------------------------------------------------------------------
  const choice = { layers: layers.map(() => true), precision: 0, score: 0, survival: 0, measure: 0, way: 0,
    equivalent: true, reduced: true, causal: false, votes: true };
  const nodeShown = new Uint8Array(count), edgeShown = new Uint8Array(arcs);
  const scores = () => classes[`score ${choice.measure}`];
  const largest = () => (measures.length ? Math.max(0, ...scores().map((value) => Math.abs(value ?? 0))) : 0);
  let selected = -1, named = "", marks = new Map(), nodesNow = 0, edgesNow = 0;

  const filter = () => {
    const values = measures.length ? scores() : null;
    nodesNow = edgesNow = 0;
    for (let node = 0; node < count; node += 1) {
      const score = values ? values[node] : null;
      nodeShown[node] = choice.layers[classes.layer[node]] && (choice.equivalent || classes.members[node].length === 1)
        && (score === null || Math.abs(score) >= choice.score) ? 1 : 0;
      nodesNow += nodeShown[node];
    }
    const rate = ways.length ? edges[`rate ${ways[choice.way]}`] : null;
    const verdict = ways.length ? edges[`verdict ${ways[choice.way]}`] : null;
    for (let edge = 0; edge < arcs; edge += 1) {
      edgeShown[edge] = nodeShown[edges.tail[edge]] && nodeShown[edges.head[edge]]
        && (edges.kind[edge] === VOTE ? choice.votes : edges.kind[edge] !== IMPLICATION
          || ((edges.precision[edge] ?? 0) >= choice.precision && (!choice.reduced || edges.essential[edge])
            && (!rate || choice.survival === 0 || (rate[edge] ?? -1) >= choice.survival)
            && (!choice.causal || !verdict || verdict[edge] === "survives"))) ? 1 : 0;
      edgesNow += edgeShown[edge];
    }
    report();
    redraw();
  };

  const report = () => {
    let text = `${whole(nodesNow)} of ${whole(count)} nodes and ${whole(edgesNow)} of ${whole(arcs)} edges are shown.`;
    if (selected >= 0) {
      const of = { follows: 0, implies: 0, contradicts: 0 };
      for (const [node, kind] of marks) if (kind in of) of[kind] += literals([node]);
      const verb = (number, one, more) => `${whole(number)} ${number === 1 ? one : more}`;
      const equal = literals([selected]) - 1;
      const also = equal ? `, with ${verb(equal, "equivalent literal", "equivalent literals")}` : "";
      text += ` ${named} is selected${also}: ${verb(of.follows, "other literal follows", "other literals follow")} from it, `
        + `${verb(of.implies, "implies", "imply")} it, ${verb(of.contradicts, "contradicts", "contradict")} it.`;
    }
    element("status").textContent = text;
  };

  /** The address of the page; a page inside another one has none. */
  const address = (text) => { if (location.protocol !== "about:") history.replaceState(null, "", text); };

  /** Select a class, by the name of one of its members. */
  const select = (node, centre, name) => {
    selected = node;
    named = name ?? (node < 0 ? "" : classes.members[node][0]);
    marks = new Map();
    if (node >= 0) {
      const follow = following(node).order;
      for (const other of leading(node)) marks.set(other, "implies");
      for (const other of follow) if (classes.mirror[other] >= 0) marks.set(classes.mirror[other], "contradicts");
      for (const other of follow) marks.set(other, "follows");
      marks.set(node, "self");
      const [x, y] = toScreen(classes.x[node], classes.y[node]);
      if (centre && (view.scale < 0.5 || x < 60 || y < 30 || x > size[0] - 60 || y > size[1] - 30)) {
        Object.assign(view, { x: classes.x[node], y: classes.y[node], scale: Math.max(view.scale, 0.8) });
      }
      address("#" + encodeURIComponent(classes.texts[node][0]));
    } else if (location.hash) {
      address(location.pathname + location.search);
    }
    describe();
    report();
    redraw();
  };

  // --- what a literal sees -------------------------------------------------------------------------------------
  const examples = (number, home) => {
    if (number < 0) return;
    const seen = data.seen[number], box = make("div", undefined, home, "seen");
    make("p", seen.words, box);
    for (const [name, source] of seen.pictures) {
      const figure = make("figure", undefined, box), image = make("img", undefined, figure);
      image.src = source; image.alt = name; image.width = 48;
      make("figcaption", name, figure);
    }
    for (const text of seen.texts) {
      const line = make("p", undefined, box);
      text.split(/[⟦⟧]/).forEach((part, place) => { make(place % 2 ? "mark" : "span", part, line); });
    }
  };

  // --- words about one class -----------------------------------------------------------------------------------
  const verdictOf = (edge) => ways.filter((way) => edges[`verdict ${way}`][edge] !== null).map((way) => {
    const rate = edges[`rate ${way}`][edge];
    return `forced ${way}: ${edges[`verdict ${way}`][edge]}` + (rate === null ? "" : ` (${figure(rate)})`);
  }).join(", ");
  const votes = (edge) => (edges.vote[edge] === null ? "" : `votes with weight ${figure(edges.vote[edge])}`);
  const figures = (edge) => ({ [VOTE]: votes(edge), [MEMBER]: "member of the conjunction", [CONCLUSION]: "what it forces" })[edges.kind[edge]]
    ?? [`precision ${figure(edges.precision[edge], 4)}`, `recall ${figure(edges.recall[edge])}`,
    edges.exceptions[edge] === null ? "" : `exceptions ${whole(edges.exceptions[edge])} of ${whole(edges.support[edge])}`, verdictOf(edge), votes(edge)]
      .filter(Boolean).join(" · ");
  const facts = (node) => {
    const prior = classes.prior[node];
    if (joined(node)) return [["conjunction", classes.about[node]]];
    const rows = [["layer", layers[classes.layer[node]]],
      ["holds on", prior === null ? "unknown" : `${figure(100 * prior)} % of the mined examples`]];
    measures.forEach((measure, number) => {
      const score = classes[`score ${number}`][node];
      if (score !== null) rows.push([measure, figure(score, 4)]);
    });
    if (classes.contradictory[node]) rows.push(["contradictory", "a literal and its negation imply each other; nothing else follows"]);
    return rows;
  };
  const strongest = (list) => [...list].sort((a, b) => (edges.precision[b] ?? 0) - (edges.precision[a] ?? 0));

  const describe = () => {
    const place = element("details");
    place.replaceChildren();
    if (selected < 0) {
      make("p", "Click a literal, or search for one. What follows from it, what implies it and what it contradicts light up.", place, "note");
      return;
    }
    const equal = [named, ...classes.members[selected].filter((member) => member !== named)];
    make("h2", equal.slice(0, 12).join(" = ") + (equal.length > 12 ? ` and ${whole(equal.length - 12)} more` : ""), place);
    const list = make("dl", undefined, place);
    for (const [name, value] of facts(selected)) { make("dt", name, list); make("dd", value, list); }
    examples(classes.seen[selected], place);
    const button = (node, mark, remark, home, broken = -1) => {
      const item = make("li", undefined, home), press = make("button", undefined, item);
      make("span", sign[mark] + " ", press, "key " + mark);
      make("span", classes.members[node].slice(0, 4).join(" = "), press);
      press.dataset.key = classes.texts[node][0];
      press.addEventListener("click", () => select(node, true));
      if (remark) make("small", remark, item);
      examples(broken, item);
    };
    const section = (title, id, entries, mark) => {
      make("h2", title, place);
      const home = make("ul", undefined, place);
      home.id = id;
      for (const [node, remark, broken] of entries.slice(0, LISTED)) button(node, mark, remark, home, broken);
      if (entries.length > LISTED) make("p", `and ${whole(entries.length - LISTED)} more`, place, "note");
    };
    const marked = (kind) => [...marks].filter(([, mark]) => mark === kind).map(([node]) => node).sort((a, b) => a - b);
    const out = strongest(leaving(selected)), into = strongest(entering(selected));
    const titled = (list, plain, also) => (list.some((edge) => edges.vote[edge] !== null) ? also : plain);
    section(`${titled(out, "Implies directly", "Implies directly, or votes on")} (${whole(out.length)})`, "implied", out.map((edge) => [edges.head[edge], figures(edge), edges.seen[edge]]), "follows");
    section(`${titled(into, "Is implied directly by", "Is implied directly by, or gets votes from")} (${whole(into.length)})`, "implying", into.map((edge) => [edges.tail[edge], figures(edge), edges.seen[edge]]), "implies");
    const follow = marked("follows"), before = marked("implies"), against = marked("contradicts");
    const own = joined(selected) ? 0 : classes.contradictory[selected] ? 1 : classes.members[selected].length;
    section(`Follows, ${whole(literals(follow) + own)} literals with itself`, "closure", follow.map((node) => [node]), "follows");
    section(`Leads to it (${whole(literals(before))} literals)`, "ancestors", before.map((node) => [node]), "implies");
    section(`Contradicts it (${whole(literals(against))} literals)`, "contradictions", against.map((node) => [node]), "contradicts");
  };

  // --- the picture ---------------------------------------------------------------------------------------------
  const canvas = element("graph"), screen = canvas.getContext("2d");
  const view = { x: 0, y: 0, scale: 1 }, drawn = { x: 0, y: 0, scale: 1 };
  let buffer = document.createElement("canvas"), next = document.createElement("canvas"), drawing = 0, colours = {}, size = [1, 1], ratio = 1;
  const palette = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ink", "soft", "page", "panel", "node", "edge", "accent", "follows", "implies", "contradicts"]) {
      colours[name] = style.getPropertyValue("--" + name).trim();
    }
    colours.self = colours.ink;
  };
  const toScreen = (x, y, of = view) => [(x - of.x) * of.scale + size[0] / 2, (y - of.y) * of.scale + size[1] / 2];
  const toWorld = (x, y) => [(x - size[0] / 2) / view.scale + view.x, (y - size[1] / 2) / view.scale + view.y];

  /** The last whole picture, moved to where the view is now. */
  const show = () => {
    const zoom = view.scale / drawn.scale;
    const [x, y] = [(drawn.x - view.x) * view.scale + size[0] / 2 * (1 - zoom), (drawn.y - view.y) * view.scale + size[1] / 2 * (1 - zoom)];
    screen.setTransform(ratio, 0, 0, ratio, 0, 0);
    screen.fillStyle = colours.page;
    screen.fillRect(0, 0, ...size);
    if (buffer.width > 1) screen.drawImage(buffer, x, y, size[0] * zoom, size[1] * zoom);
  };

  function* strokes(pen, of) {
    const order = selected < 0 ? ["plain"] : ["plain", "votes", "implies", "follows"];
    const lit = (edge) => {
      const [a, b] = [marks.get(edges.tail[edge]), marks.get(edges.head[edge])];
      if (edges.kind[edge] === VOTE) return a === "self" || b === "self" ? "votes" : "plain";
      if ((a === "self" || a === "follows") && b === "follows") return "follows";
      return a === "implies" && (b === "implies" || b === "self") ? "implies" : "plain";
    };
    const faint = Math.max(0.06, Math.min(0.55, 30 / Math.sqrt(edgesNow + 1)));
    for (const kind of order) {
      pen.strokeStyle = { plain: colours.edge, votes: colours.accent }[kind] ?? colours[kind];
      pen.globalAlpha = kind === "plain" ? (selected < 0 ? faint : faint / 3) : 0.85;
      pen.lineWidth = kind === "plain" ? 1 : 1.6;
      pen.setLineDash({ implies: [5, 3], votes: [2, 3] }[kind] ?? []);
      let pending = 0;
      pen.beginPath();
      for (let edge = 0; edge < arcs; edge += 1) {
        if (!edgeShown[edge] || (selected >= 0 && lit(edge) !== kind)) continue;
        const [a, b] = [edges.tail[edge], edges.head[edge]];
        const [x, y] = toScreen(classes.x[a], classes.y[a], of), [right, low] = toScreen(classes.x[b], classes.y[b], of);
        if (Math.max(x, right) < 0 || Math.max(y, low) < 0 || Math.min(x, right) > size[0] || Math.min(y, low) > size[1]) continue;
        pen.moveTo(x, y);
        pen.lineTo(right, low);
        if ((pending += 1) % 250 === 0) { pen.stroke(); pen.beginPath(); yield; }
      }
      pen.stroke();
    }
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  function* boxes(pen, of) {
    const values = measures.length ? scores() : null, top = largest() || 1;
    const [wide, high] = [WIDE * of.scale, HIGH * of.scale], legible = 11 * of.scale >= 6.5;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    pen.font = `${11 * of.scale}px system-ui, "DejaVu Sans", sans-serif`;
    let done = 0;
    for (let node = 0; node < count; node += 1) {
      if (!nodeShown[node]) continue;
      const [x, y] = toScreen(classes.x[node], classes.y[node], of);
      if (x < -wide || y < -high || x > size[0] + wide || y > size[1] + high) continue;
      const mark = marks.get(node), score = values ? values[node] : null;
      pen.globalAlpha = selected >= 0 && !mark ? 0.3 : 1;
      pen.fillStyle = classes.value[node] ? colours.node : colours.page;
      pen.strokeStyle = mark ? colours[mark] : colours.soft;
      pen.lineWidth = mark === "self" ? 3 : mark ? 2 : 1;
      pen.beginPath();
      pen.roundRect(x - wide / 2, y - high / 2, wide, high, joined(node) ? high / 2 : Math.min(6, high / 3));
      pen.fill();
      if (score !== null) {
        pen.globalAlpha *= 0.75;
        pen.fillStyle = colours.accent;
        pen.fillRect(x - wide / 2 + 1, y + high / 2 - Math.max(2, high / 7), (wide - 2) * Math.abs(score) / top, Math.max(1.5, high / 8));
        pen.globalAlpha = selected >= 0 && !mark ? 0.3 : 1;
      }
      pen.stroke();
      if (legible) {
        const more = classes.members[node].length - 1;
        pen.fillStyle = mark ? colours[mark] : colours.ink;
        pen.fillText((mark && mark !== "self" ? sign[mark] + " " : "") + short(classes.members[node][0]) + (more ? ` +${more}` : ""), x, y);
      }
      if ((done += 1) % 250 === 0) yield;
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colours.soft;
    pen.font = `600 ${Math.max(11, 16 * of.scale)}px system-ui, "DejaVu Sans", sans-serif`;
    layers.forEach((layer, number) => {
      if (!choice.layers[number] || heads[number] === undefined) return;
      const [x, y] = toScreen(heads[number][0], heads[number][1] - 34, of);
      pen.fillText(short(layer), x, y);
    });
  }
  const heads = layers.map((_, layer) => {
    let left = Infinity, right = -Infinity, top = Infinity;
    for (let node = 0; node < count; node += 1) {
      if (classes.layer[node] !== layer) continue;
      left = Math.min(left, classes.x[node]); right = Math.max(right, classes.x[node]); top = Math.min(top, classes.y[node]);
    }
    return left === Infinity ? undefined : [(left + right) / 2, top];
  });

  /** Draw a new picture in slices, so that the page never stands still; the old one stays until it is whole. */
  const redraw = () => {
    const turn = (drawing += 1), of = { ...view };
    canvas.dataset.state = "drawing";
    canvas.dataset.view = JSON.stringify(of);
    next.width = canvas.width; next.height = canvas.height;
    const pen = next.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colours.page;
    pen.fillRect(0, 0, ...size);
    const steps = (function* all() { yield* strokes(pen, of); yield* boxes(pen, of); })();
    const slice = () => {
      if (turn !== drawing) return;
      const until = performance.now() + 12;
      while (performance.now() < until) {
        if (steps.next().done) {
          [buffer, next] = [next, buffer];
          Object.assign(drawn, of);
          canvas.dataset.state = "whole";
          show();
          return;
        }
      }
      setTimeout(slice, 0);
    };
    slice();
  };
  let idle = 0;
  const moved = () => {
    drawing += 1;
    canvas.dataset.state = "drawing";
    requestAnimationFrame(show);
    clearTimeout(idle);
    idle = setTimeout(redraw, 90);
  };
  const fit = () => {
    let [left, right, top, low] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let node = 0; node < count; node += 1) {
      if (!nodeShown[node]) continue;
      left = Math.min(left, classes.x[node]); right = Math.max(right, classes.x[node]);
      top = Math.min(top, classes.y[node]); low = Math.max(low, classes.y[node]);
    }
    if (left === Infinity) return;
    Object.assign(view, { x: (left + right) / 2, y: (top + low) / 2 - 20,
      scale: Math.min(1.4, size[0] / (right - left + WIDE + 40), size[1] / (low - top + 140)) });
    moved();
  };
  const zoom = (factor, x = size[0] / 2, y = size[1] / 2) => {
    const before = toWorld(x, y);
    view.scale = Math.max(0.01, Math.min(6, view.scale * factor));
    const after = toWorld(x, y);
    view.x += before[0] - after[0];
    view.y += before[1] - after[1];
    moved();
  };
  const resize = () => {
    const unseen = size[0] < 2;  // a frame outside of the window has no size yet
    ratio = window.devicePixelRatio || 1;
    size = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.max(1, Math.round(size[0] * ratio));
    canvas.height = Math.max(1, Math.round(size[1] * ratio));
    show();
    if (unseen) fit();
    redraw();
  };

  const CELL = 200, cells = new Map();
  for (let node = 0; node < count; node += 1) {
    const cell = `${Math.floor(classes.x[node] / CELL)} ${Math.floor(classes.y[node] / CELL)}`;
    if (!cells.has(cell)) cells.set(cell, []);
    cells.get(cell).push(node);
  }
  const at = (x, y) => {
    const [wx, wy] = toWorld(x, y);
    const [cx, cy] = [Math.floor(wx / CELL), Math.floor(wy / CELL)];
    for (let i = -1; i <= 1; i += 1) for (let j = -1; j <= 1; j += 1) {
      for (const node of cells.get(`${cx + i} ${cy + j}`) ?? []) {
        if (nodeShown[node] && Math.abs(classes.x[node] - wx) <= WIDE / 2 && Math.abs(classes.y[node] - wy) <= HIGH / 2) return node;
      }
    }
    return -1;
  };

  // --- pointer and keys ----------------------------------------------------------------------------------------
  const card = element("card");
  const hover = (node, x, y) => {
    card.hidden = node < 0;
    if (node < 0) return;
    card.replaceChildren();
    make("strong", classes.members[node].slice(0, 8).map(short).join(" = "), card);
    for (const [name, value] of facts(node)) make("p", `${name}: ${value}`, card);
    const best = strongest(leaving(node)).slice(0, 3);
    for (const edge of best) make("p", `${sign.follows} ${short(classes.members[edges.head[edge]][0])}: ${figures(edge)}`, card);
    examples(classes.seen[node], card);
    placed = [x, y];
    place();
  };
  let placed = [0, 0];
  const place = () => {
    const [x, y] = placed;
    card.style.left = `${Math.max(0, Math.min(x + 14, size[0] - card.offsetWidth - 4))}px`;
    card.style.top = `${Math.max(0, Math.min(y + 14, size[1] - card.offsetHeight - 4))}px`;
  };
  card.addEventListener("load", place, true); // thumbnails have no height before they are decoded
  const fingers = new Map();
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    travelled = 0;
    card.hidden = true;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) { hover(at(event.offsetX, event.offsetY), event.offsetX, event.offsetY); return; }
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const [x, y] = [event.offsetX, event.offsetY];
    travelled += Math.hypot(x - before[0], y - before[1]);
    fingers.set(event.pointerId, [x, y]);
    if (others.length) {
      const [other] = others;
      const [now, then] = [Math.hypot(x - other[0], y - other[1]), Math.hypot(before[0] - other[0], before[1] - other[1])];
      zoom(now / Math.max(then, 1), (x + other[0]) / 2, (y + other[1]) / 2);
      return;
    }
    view.x -= (x - before[0]) / view.scale;
    view.y -= (y - before[1]) / view.scale;
    moved();
  });
  const released = (event) => {
    if (fingers.delete(event.pointerId) && event.type === "pointerup" && travelled < 5) select(at(event.offsetX, event.offsetY), false);
  };
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("pointerleave", () => { card.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  const pan = (x, y) => { view.x += x / view.scale; view.y += y / view.scale; moved(); };
  const keys = { ArrowLeft: () => pan(-60, 0), ArrowRight: () => pan(60, 0), ArrowUp: () => pan(0, -60), ArrowDown: () => pan(0, 60),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "0": fit };
  canvas.addEventListener("keydown", (event) => {
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") select(-1);
    if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); }
  });
  element("closer").addEventListener("click", () => zoom(1.25));
  element("farther").addEventListener("click", () => zoom(0.8));
  element("whole").addEventListener("click", fit);
  element("clear").addEventListener("click", () => select(-1));

  // --- search --------------------------------------------------------------------------------------------------
  const search = element("search"), results = element("results");
  let hits = [], active = -1;
  const rank = (member) => {
    const [text, name] = [search.value.trim().toLowerCase(), member.toLowerCase()];
    return name === text ? 0 : name.startsWith(text) ? 1 : name.includes(text) ? 2 : 3;
  };
  const best = (node) => classes.members[node].reduce((a, b) => (rank(b) < rank(a) ? b : a));
  const options = () => {
    results.replaceChildren();
    hits.forEach((node, place) => {
      const item = make("li", best(node), results);
      item.setAttribute("role", "option");
      item.id = `result${place}`;
      item.setAttribute("aria-selected", String(place === active));
      item.addEventListener("click", () => choose(place));
    });
    search.setAttribute("aria-expanded", String(hits.length > 0));
    if (active >= 0) search.setAttribute("aria-activedescendant", `result${active}`);
    else search.removeAttribute("aria-activedescendant");
  };
  const choose = (place) => {
    const node = hits[place];
    hits = []; active = -1;
    options();
    if (node !== undefined) select(node, true, best(node));
  };
  search.addEventListener("input", () => {
    const nearest = (node) => Math.min(...classes.members[node].concat(classes.texts[node]).map(rank));
    hits = search.value.trim() ? [...classes.members.keys()].map((node) => [nearest(node), node]).filter(([place]) => place < 3)
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, 50).map(([, node]) => node) : [];
    active = hits.length ? 0 : -1;
    options();
  });
  search.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && hits.length) {
      event.preventDefault();
      active = (active + step + hits.length) % hits.length;
      options();
      element(`result${active}`).scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      choose(active);
    }
  });

  // --- sliders and toggles -------------------------------------------------------------------------------------
  const controls = element("controls");
  const group = (title) => { const made = make("fieldset", undefined, controls); make("legend", title, made); return made; };
  const toggle = (home, text, value, change, id) => {
    const label = make("label", undefined, home), box = make("input", undefined, label);
    box.type = "checkbox"; box.checked = value; box.id = id;
    label.append(" " + text);
    box.addEventListener("change", () => { change(box.checked); filter(); });
  };
  const slider = (home, id, words, most, change, least = 0) => {
    const label = make("label", undefined, home), text = make("span", undefined, label), range = make("input", undefined, label);
    Object.assign(range, { type: "range", id, min: 0, max: 1000, value: 0 });
    const value = () => least + (most() - least) * (range.value / 1000);
    const say = () => { text.textContent = range.value === "0" ? `${words}: all` : `${words}: at least ${figure(value(), 4)}`; };
    range.addEventListener("input", () => { say(); change(range.value === "0" ? 0 : value()); filter(); });
    say();
    return { reset: () => { range.value = 0; say(); change(0); } };
  };
  const edgeGroup = group("Edges");
  const least = edges.precision.reduce((low, value) => Math.min(low, value ?? 1), 1);
  slider(edgeGroup, "precision", "precision", () => 1, (value) => { choice.precision = value; }, least);
  if (ways.length) {
    slider(edgeGroup, "survival", "holds when forced", () => 1, (value) => { choice.survival = value; });
    if (ways.length > 1) {
      const label = make("label", "forced ", edgeGroup), menu = make("select", undefined, label);
      menu.id = "way";
      ways.forEach((way, number) => { make("option", way, menu).value = number; });
      menu.addEventListener("change", () => { choice.way = Number(menu.value); filter(); });
    }
    toggle(edgeGroup, "causal edges only (they survive when forced)", false, (value) => { choice.causal = value; }, "causal");
  }
  toggle(edgeGroup, "leave out edges that follow from a path of others", true, (value) => { choice.reduced = value; }, "reduced");
  if (edges.kind.includes(VOTE)) toggle(edgeGroup, "votes for labels", true, (value) => { choice.votes = value; }, "votes");
  const several = classes.members.some((members) => members.length > 1);
  const nodeGroup = measures.length || several ? group("Literals") : null;
  if (measures.length) {
    const range = slider(nodeGroup, "score", "score", largest, (value) => { choice.score = value; });
    if (measures.length > 1) {
      const label = make("label", "score by ", nodeGroup), menu = make("select", undefined, label);
      menu.id = "measure";
      measures.forEach((measure, number) => { make("option", measure, menu).value = number; });
      menu.addEventListener("change", () => { choice.measure = Number(menu.value); range.reset(); filter(); });
    } else {
      make("p", `score: ${measures[0]}`, nodeGroup, "note");
    }
  }
  if (several) {
    toggle(nodeGroup, "classes of equivalent literals", true, (value) => { choice.equivalent = value; }, "equivalent");
  }
  const layerGroup = group("Layers");
  layers.forEach((layer, number) => toggle(layerGroup, layer, true, (value) => { choice.layers[number] = value; }, `layer${number}`));

  // --- start ---------------------------------------------------------------------------------------------------
  palette();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { palette(); redraw(); });
  new ResizeObserver(resize).observe(canvas);
  resize();
  filter();
  fit();
  const wanted = decodeURIComponent(location.hash.slice(1));
  select(wanted ? classes.texts.findIndex((texts) => texts.includes(wanted)) : -1, true);
})();
