// On a narrow screen a table of sentences that does not fit shows its cells below each
// other, each with the name of its column. What is compared at a glance is scrolled.
(() => {
  const long = 40; // characters of a cell that is read
  const narrow = window.matchMedia("(max-width: 46em)");
  const tables = [...document.querySelectorAll(".table-wrapper > table")];
  for (const table of tables) {
    const columns = [...table.querySelectorAll("thead th")].map((th) => th.textContent);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.cells].forEach((cell, index) => {
        cell.dataset.column = columns[index] ?? "";
        cell.classList.toggle("is-empty", !cell.textContent.trim());
      });
    }
  }
  const isRead = (table) =>
    [...table.querySelectorAll("td:not(:first-child)")].some(
      (cell) => cell.textContent.length > long,
    );
  const stack = () => {
    for (const table of tables) {
      table.classList.remove("is-stacked");
      const fits = table.parentElement.scrollWidth <= table.parentElement.clientWidth;
      table.classList.toggle("is-stacked", narrow.matches && !fits && isRead(table));
    }
  };
  stack();
  narrow.addEventListener("change", stack);
})();
