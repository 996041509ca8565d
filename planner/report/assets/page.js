(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  let chosen = null; // what the reader clicked; until then the system decides
  let printing = false;

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const narrow = (div) => div.clientWidth < 560;

  function themed(figure, div) {
    const ink = css("--ink"), line = css("--line"), small = narrow(div);
    const layout = structuredClone(figure.layout);
    const axis = (a) => Object.assign(a, { gridcolor: line, linecolor: line, tickcolor: line });
    for (const key of Object.keys(layout)) if (/^[xy]axis/.test(key)) axis(layout[key]);
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: small ? 11 : 13, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { bgcolor: css("--card"), bordercolor: line, font: { color: ink, size: 12 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent") },
      height: figure.height, autosize: true,
    });
    if (small) {
      // A phone has room for the drawing or for its labels, not both: hover has the rest.
      layout.margin = { l: 44, r: 8, t: 12, b: 46 };
      if (layout.yaxis) Object.assign(layout.yaxis, { tickfont: { size: 10 } });
      if (layout.legend) layout.legend.font = { size: 10 };
    }
    return layout;
  }

  function traces(figure, div) {
    if (!narrow(div)) return figure.data;
    return figure.data.map((t) => {
      const one = Object.assign({}, t);
      if (t.type === "scatter" && /text/.test(t.mode || "")) one.mode = t.mode.replace("+text", "");
      if (t.type === "contour") one.colorbar = Object.assign({}, t.colorbar, { orientation: "h", y: -0.22, yanchor: "top", thickness: 10, title: { text: t.colorbar.title.text, side: "bottom" } });
      return one;
    });
  }

  function draw(name) {
    const div = document.getElementById("plot-" + name), figure = figures[name];
    return Plotly.react(div, traces(figure, div), themed(figure, div), {
      responsive: true, displaylogo: false, scrollZoom: false, showSendToCloud: false,
      displayModeBar: "hover", modeBarButtons: [["toImage", "resetScale2d"]],
    });
  }

  function paint() {
    const dark = !printing && (chosen ? chosen === "dark" : system.matches);
    root.dataset.theme = dark ? "dark" : "light";
    if (button) button.textContent = dark ? "Light" : "Dark";
    return Promise.all(Object.keys(figures).map(draw));
  }

  if (button) button.addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    paint();
  });
  system.addEventListener("change", paint);
  window.addEventListener("beforeprint", () => { printing = true; paint(); });
  window.addEventListener("afterprint", () => { printing = false; paint(); });
  let width = window.innerWidth, timer = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(timer);
    timer = setTimeout(paint, 150);
  });
  if (window.plannerExplore) window.plannerExplore(figures, draw);
  paint().then(() => { root.dataset.drawn = String(Object.keys(figures).length); });
})();
