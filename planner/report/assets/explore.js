// Sliders over a grid of answers that came with the page: nothing is asked of anyone.
function plannerExplore(figures, draw) {
  const holder = document.getElementById("grid");
  if (!holder) return;
  const grid = JSON.parse(holder.textContent);
  const names = Object.keys(grid.axes);
  const controls = Object.fromEntries(names.map((n) => [n, document.getElementById("x-" + n)]));
  const at = (n) => Number(controls[n].value);
  const digits = (v) => {
    const s = v >= 1e6 ? [v / 1e6, "M"] : v >= 1e4 ? [v / 1e3, "k"] : [v, ""];
    return Number(s[0].toPrecision(3)) + s[1];
  };
  const written = (v, unit) => {
    if (v === null) return "–";
    if (unit === "s") return v < 1 ? Number((1000 * v).toPrecision(3)) + " ms" : Number(v.toPrecision(3)) + " s";
    return (unit === "usd" ? "$" : "") + digits(v);
  };

  function update() {
    for (const n of names) {
      const text = grid.axes[n][at(n)];
      document.getElementById("o-" + n).textContent = text;
      controls[n].setAttribute("aria-valuetext", text);
    }
    const shapes = grid.shapes[at("params")];
    let cell = grid.cells;
    for (const n of names) cell = cell && cell[at(n)];
    const speed = cell && cell[0];
    const there = shapes.map((_, i) => i).filter((i) => speed && speed[i] !== null);
    // The front of these shapes here: by loss, those faster than all before.
    const byLoss = there.slice().sort((a, b) => shapes[a].loss[0] - shapes[b].loss[0] || speed[b] - speed[a]);
    let best = -1;
    const front = byLoss.filter((i) => (speed[i] > best ? ((best = speed[i]), true) : false));
    const sure = there.filter((i) => shapes[i].sure >= grid.sure - 1e-9);
    const pick = sure.reduce((a, i) => (a === null || speed[i] > speed[a] ? i : a), null);
    const told = document.getElementById("x-told");
    if (!there.length) {
      told.textContent = "None of these shapes is served so: it does not fit, or the card lacks the precision.";
    } else if (pick === null) {
      told.textContent = `No shape that fits is ${Math.round(100 * grid.sure)}% sure to lose at most ${grid.margin}.`;
    } else {
      const base = speed[0];
      const gain = base ? `, ${(speed[pick] / base).toFixed(2)}× the baseline’s` : "";
      told.textContent = `Best here: ${shapes[pick].shape}; ${digits(speed[pick])} output tokens/s${gain}; loss ` +
        `${shapes[pick].loss[0].toFixed(3)}, ${Math.round(100 * shapes[pick].sure)}% sure to lose at most ${grid.margin}.`;
    }
    const shown = [...new Set([pick, 0, front[0], front[front.length - 1]])].filter((i) => there.includes(i));
    const word = (i) => [i === pick ? "best here" : "", i === 0 ? "baseline" : "", i === front[0] ? "lowest loss" : "",
      i === front[front.length - 1] ? "fastest" : ""].filter(Boolean).join(", ");
    const body = document.getElementById("x-rows");
    body.replaceChildren(...shown.map((i) => {
      const row = document.createElement("tr");
      const cells = [word(i), shapes[i].shape, shapes[i].loss[0].toFixed(3), Math.round(100 * shapes[i].sure) + "%",
        ...grid.metrics.map((m, k) => written(cell[k][i], m.unit))];
      cells.forEach((text, k) => {
        const td = document.createElement(k ? "td" : "th");
        if (!k) td.scope = "row";
        td.textContent = text;
        row.append(td);
      });
      return row;
    }));
    const hover = (i) => `${shapes[i].shape}<br>${digits(speed[i])} tokens/s, loss ${shapes[i].loss[0].toFixed(3)}`;
    const trace = (name, rows, more) => Object.assign({
      type: "scatter", name, x: rows.map((i) => speed[i]), y: rows.map((i) => shapes[i].loss[0]),
      hovertext: rows.map(hover), hoverinfo: "text",
    }, more);
    const figure = figures.explore;
    figure.data = [
      trace("front here", front, { mode: "lines+markers", line: { color: "#3b78d8", width: 2, shape: "hv" }, marker: { size: 6 } }),
      trace("baseline", there.includes(0) ? [0] : [], { mode: "markers", marker: { symbol: "square", size: 13, color: "#7d8590" } }),
      trace("best here", pick === null ? [] : [pick], { mode: "markers", marker: { symbol: "diamond", size: 14, color: "#a356c9" } }),
    ];
    return draw("explore");
  }

  for (const n of names) controls[n].addEventListener("input", update);
  update();
}
