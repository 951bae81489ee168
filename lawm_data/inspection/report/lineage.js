"use strict";
/* Draws the edges of the graph of provenance between its boxes, wherever these are. */
(() => {
  const link = () => {
    const graph = document.querySelector(".graph"), svg = graph.querySelector("svg");
    const origin = graph.getBoundingClientRect();
    const nodes = new Map([...graph.querySelectorAll(".node")].map((n) => [n.dataset.node, n]));
    const paths = [];
    for (const node of nodes.values()) {
      for (const name of node.dataset.parents.split("\n").filter(Boolean)) {
        const above = nodes.get(name).getBoundingClientRect(), below = node.getBoundingClientRect();
        const x1 = above.left + above.width / 2 - origin.left, y1 = above.bottom - origin.top;
        const x2 = below.left + below.width / 2 - origin.left, y2 = below.top - origin.top;
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        const middle = (y1 + y2) / 2;
        path.setAttribute("d", `M${x1},${y1}C${x1},${middle} ${x2},${middle} ${x2},${y2}`);
        paths.push(path);
      }
    }
    svg.replaceChildren(...paths);
  };
  new ResizeObserver(link).observe(document.querySelector(".graph"));
})();
