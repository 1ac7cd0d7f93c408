// Sorts, filters and copies. Everything it touches is in the page without it.
(() => {
  "use strict";
  const grid = document.getElementById("grid");
  const rows = [...grid.tBodies[0].rows];
  const filter = document.getElementById("filter");
  const attention = document.getElementById("attention");
  const urgent = "td.cell:is(.fail, .error, .stale, .fault)";
  // What a row is found by: its own words and all that its section says.
  const said = new Map();
  const words = (row) => {
    if (!said.has(row)) {
      const section = document.getElementById(row.dataset.loss);
      said.set(row, `${row.textContent} ${section.textContent}`.toLowerCase());
    }
    return said.get(row);
  };

  const show = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const found = wanted.every((word) => words(row).includes(word));
      const kept = found && (!attention.checked || row.querySelector(urgent));
      row.hidden = !kept;
      count += kept ? 1 : 0;
    }
    document.getElementById("shown").textContent = count === rows.length ? "" : `${count} of ${rows.length}`;
  };
  document.querySelector(".tools").hidden = false;
  document.querySelector(".keys").hidden = false;
  filter.addEventListener("input", show);
  attention.addEventListener("change", show);
  show();

  const heads = [...grid.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[index].dataset.sort;
      const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
      grid.tBodies[0].append(...[...rows].sort((a, b) => (down ? -order(a, b) : order(a, b))));
    });
  });

  for (const block of document.querySelectorAll("pre.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const code = block.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    block.append(button);
  }

  const losses = [...document.querySelectorAll("section.loss")];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === filter) {
      if (event.key === "Escape") filter.blur();
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      filter.focus();
    } else if (event.key === "j" || event.key === "k") {
      const tops = losses.map((loss) => loss.getBoundingClientRect().top);
      const next = event.key === "j" ? tops.findIndex((top) => top > 20) : tops.findLastIndex((top) => top < -4);
      if (next >= 0) losses[next].scrollIntoView();
    } else if (event.key === "e") {
      const folds = [...document.querySelectorAll("details")];
      const open = folds.some((fold) => !fold.open);
      folds.forEach((fold) => (fold.open = open));
    }
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
})();
