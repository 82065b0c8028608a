// Draws the diagrams of a page, and draws them anew when light turns dark.
(() => {
  const blocks = [...document.querySelectorAll(".mermaid pre")].map((pre) => ({
    place: pre.closest(".mermaid"),
    source: pre.textContent,
  }));
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && prefersDark.matches);
  };
  const readable = 0.7; // of its size: smaller letters nobody can read
  // What is too wide for the page is shown whole, if it can be read then, or else as it
  // is, to be scrolled; a click, or Enter, shows it the other way.
  const fit = (place) => {
    const drawing = place.querySelector("svg");
    const natural = drawing.viewBox.baseVal.width;
    if (natural <= place.clientWidth) {
      return;
    }
    const show = (large) => {
      drawing.style.width = large ? `${natural * 0.8}px` : "100%";
      place.classList.toggle("is-large", large);
      const view = place.parentElement; // what begins in the middle is drawn there
      view.scrollLeft = (view.scrollWidth - view.clientWidth) / 2;
    };
    show(place.clientWidth < natural * readable);
    place.tabIndex = 0;
    place.title = "Click to enlarge, or to see it whole";
    place.classList.add("is-wide");
    place.onclick = () => show(!place.classList.contains("is-large"));
    place.onkeydown = (event) => event.key === "Enter" && place.onclick();
  };
  let drawn = null;
  let round = 0;
  const draw = async () => {
    const dark = isDark();
    if (drawn === dark) {
      return;
    }
    drawn = dark;
    round += 1;
    mermaid.initialize({
      startOnLoad: false,
      theme: dark ? "dark" : "neutral",
      themeVariables: {
        edgeLabelBackground: getComputedStyle(document.body).backgroundColor,
      },
      fontFamily: "inherit",
      flowchart: { htmlLabels: true, useMaxWidth: false, wrappingWidth: 400 },
    });
    for (const [index, { place, source }] of blocks.entries()) {
      const { svg } = await mermaid.render(`diagram-${round}-${index}`, source);
      place.innerHTML = svg;
      fit(place);
      place.classList.add("is-drawn");
    }
    document.documentElement.dataset.diagrams = String(blocks.length);
  };
  draw();
  prefersDark.addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });
})();
