"use strict";
// The slider shows the clusters of any beta; a point of the plane moves it. Without this script the page has the tables below it.
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const slider = document.getElementById("slider");
  const marks = [...document.querySelectorAll("[data-point]")];
  const cursor = document.querySelector(".cursor");
  const show = (index) => {
    const point = points[index];
    slider.value = index;
    slider.setAttribute("aria-valuetext", point.numbers);
    document.getElementById("numbers").textContent = point.numbers;
    document.getElementById("rows").replaceChildren(...point.rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
    marks.forEach((mark, i) => mark.classList.toggle("chosen", i === index));
    if (cursor) {
      const { low, high, left, right } = cursor.dataset;
      const x = +left + (Math.log(point.beta) - low) / (high - low) * (right - left);
      cursor.setAttribute("transform", `translate(${x} 0)`);
      cursor.classList.add("on");
    }
  };
  slider.addEventListener("input", () => show(+slider.value));
  marks.forEach((mark, i) => ["mouseenter", "click"].forEach((kind) => mark.addEventListener(kind, () => show(i))));
  document.getElementById("live").hidden = false;
  show(+slider.value);
})();
