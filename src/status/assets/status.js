// Refreshes the page every few seconds while it is looked at. Without this script it is the same page.
"use strict";

const EVERY = 5000;
const button = document.getElementById("refresh");

// What the reader is in the middle of stays as it is.
function isBusy() {
  const main = document.getElementById("main");
  const form = document.activeElement && document.activeElement.closest("form");
  const selection = document.getSelection();
  const selected = selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  return document.hidden || form || selected || button.getAttribute("aria-pressed") === "true";
}

async function refresh() {
  if (isBusy()) return;
  let page;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return; // The server restarts, or cannot be reached: the date of the page says how old it is.
  }
  if (isBusy()) return;
  const main = document.getElementById("main");
  const next = page.getElementById("main");
  if (!next) return;
  const open = [...main.querySelectorAll("details")].map((details) => details.open);
  const focused = main.contains(document.activeElement) && pathOf(document.activeElement, main);
  const scrolled = [...main.querySelectorAll(".scroll")].map((region) => region.scrollLeft);
  main.replaceChildren(...next.childNodes);
  main.querySelectorAll("details").forEach((details, at) => (details.open = open[at] === true));
  main.querySelectorAll(".scroll").forEach((region, at) => (region.scrollLeft = scrolled[at] || 0));
  if (focused) main.querySelector(focused)?.focus({ preventScroll: true });
  const at = page.getElementById("at");
  if (at) document.getElementById("at").replaceWith(at);
}

// A selector of the same place in the next page.
function pathOf(element, main) {
  const steps = [];
  for (let at = element; at && at !== main; at = at.parentElement) {
    steps.unshift(`:nth-child(${[...at.parentElement.children].indexOf(at) + 1})`);
  }
  return steps.length ? `:scope > ${steps.join(" > ")}` : null;
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(paused));
  });
  setInterval(refresh, EVERY);
}
