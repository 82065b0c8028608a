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
  // What is too wide for the page is shown whole; a click, or Enter, shows it as it is.
  const fit = (place) => {
    const drawing = place.querySelector("svg");
    const natural = drawing.viewBox.baseVal.width;
    if (natural <= place.clientWidth) {
      return;
    }
    drawing.style.width = "100%";
    place.classList.remove("is-large");
    place.tabIndex = 0;
    place.title = "Click to enlarge";
    place.classList.add("is-wide");
    place.onclick = () => {
      const large = place.classList.toggle("is-large");
      drawing.style.width = large ? `${natural * 0.8}px` : "100%";
    };
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
      fontFamily: "inherit",
      flowchart: { htmlLabels: true, useMaxWidth: false },
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
