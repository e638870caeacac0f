"use strict";

// Tables: the headings become buttons that sort by their column; text first goes up, numbers first go down.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const numbers = heading.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    if (!heading.hasAttribute("aria-sort")) heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const down = now === "none" ? numbers : now === "ascending";
      for (const each of headings) each.setAttribute("aria-sort", each === heading ? (down ? "descending" : "ascending") : "none");
      const key = (row) => row.cells[column].textContent;
      const compare = numbers ? (a, b) => Number(key(a)) - Number(key(b)) : (a, b) => key(a).localeCompare(key(b));
      body.append(...[...body.rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b))));
    });
  });
}

// Commands: a button that copies, also where a page from a file may not use the clipboard of the browser.
const said = document.getElementById("said");

function copyBySelection(code) {
  const selection = window.getSelection();
  selection.selectAllChildren(code);
  const done = document.execCommand("copy");
  if (done) selection.removeAllRanges();
  return done;
}

for (const command of document.querySelectorAll(".command")) {
  const code = command.querySelector("code");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "copy";
  button.setAttribute("aria-label", `copy ${code.textContent}`);
  button.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      done = copyBySelection(code);
    }
    button.textContent = done ? "copied" : "selected";
    said.textContent = done ? "copied" : "selected: copy it by the keyboard";
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  command.append(button);
}
