// Asks for the sections again and again, and puts in those that are new; the page is whole without it.
"use strict";
(() => {
  const root = document.currentScript.dataset.root;
  const every = 5000;
  const live = document.getElementById("live");
  const button = document.createElement("button");
  let paused = false;

  const show = (text) => { if (live.textContent !== text) live.textContent = text; };

  const put = (id, html) => {
    const place = document.getElementById(id);
    // Whoever reads a section by keyboard or marks text in it is not disturbed.
    const selected = document.getSelection();
    const inUse = place.contains(document.activeElement) ||
      (selected && !selected.isCollapsed && place.contains(selected.anchorNode));
    if (place.dataset.html === html || inUse) return;
    place.dataset.html = html;
    // The server has escaped everything in it.
    place.innerHTML = html;
  };

  const ask = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(`${root}/sections.json`, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      put("summary", found.summary);
      for (const [id, html] of Object.entries(found.sections)) put(id, html);
      show("Live");
      document.body.dataset.updates = String(Number(document.body.dataset.updates || 0) + 1);
    } catch (error) {
      show("The page does not answer; this is how it was.");
    }
  };

  const toggle = () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    show(paused ? "Paused" : "Live");
    ask();
  };

  button.type = "button";
  button.id = "pause";
  button.textContent = "Pause";
  button.addEventListener("click", toggle);
  document.getElementById("actions").append(button);
  show("Live");
  setInterval(ask, every);
  document.addEventListener("visibilitychange", ask);
})();
