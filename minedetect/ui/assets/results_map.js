"use strict";
// What folium cannot draw: the layers of two dates in panes of their own, the swipe between them, and what the page sets.

const PANES = { before: 410, after: 420, both: 430 };
const BASE_MAP = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"; // asked for only when the user says so
const BASE_WAIT_MS = 10000; // some networks let requests vanish instead of refusing them
const NO_BASE = "The base map cannot be reached: openstreetmap.org does not answer. It needs a network; all else on this map does not.";

/** A pane for the rasters of a date, with one inside it for outlines, which must lie above. */
function makePanes(map) {
  for (const [name, order] of Object.entries(PANES)) {
    map.createPane(name).style.zIndex = order;
    map.createPane(`${name}-lines`, map.getPane(name));
  }
  map.createPane("base").style.zIndex = 150;
}

function tileLayer(told) {
  const [west, south, east, north] = told.bounds;
  return L.tileLayer(told.url, {
    pane: told.pane, zIndex: told.order, maxZoom: 19, bounds: [[south, west], [north, east]], alt: "",
  });
}

/** Outlines, fetched when they are first shown: a bright line on a dark rim is seen on any ground. */
function outlineLayer(told) {
  const pane = `${told.pane}-lines`;
  const rim = { color: "#111111", weight: 4, opacity: 0.7, fill: false, interactive: false };
  const line = { color: told.colour, weight: 2, dashArray: told.dash, fillOpacity: 0 };
  const group = L.featureGroup();
  group.once("add", async () => {
    const answer = await fetch(told.url);
    if (!answer.ok) return;
    const found = await answer.json();
    L.geoJSON(found, { pane, style: rim }).addTo(group);
    L.geoJSON(found, {
      pane, style: line,
      onEachFeature: (feature, shape) => shape.bindTooltip(feature.properties.text, { sticky: true }), // harmless HTML
    }).addTo(group);
  });
  return group;
}

/** Shows the first date left of a line and the second right of it; the line follows mouse, touch and arrow keys. */
function addSwipe(map, spec) {
  const line = L.DomUtil.create("div", "swipe-line", map.getContainer());
  for (const [side, year] of [["left", spec.years[0]], ["right", spec.years[1]]]) {
    L.DomUtil.create("span", `swipe-${side}`, line).textContent = year;
  }
  const input = L.DomUtil.create("input", "swipe", map.getContainer());
  Object.assign(input, { type: "range", min: 0, max: 100, step: 1, value: 50 });
  input.setAttribute("aria-label", `Swipe between ${spec.years[0]} on the left and ${spec.years[1]} on the right`);
  const clip = () => {
    const size = map.getSize(), thumb = 44;
    const at = thumb / 2 + (input.value / 100) * (size.x - thumb);
    const origin = map.containerPointToLayerPoint([0, 0]);
    const cut = (from, to) => {
      const [left, right] = [origin.x + from, origin.x + to], [top, low] = [origin.y, origin.y + size.y];
      return `polygon(${left}px ${top}px, ${right}px ${top}px, ${right}px ${low}px, ${left}px ${low}px)`;
    };
    map.getPane("before").style.clipPath = cut(0, at);
    map.getPane("after").style.clipPath = cut(at, size.x);
    line.style.left = `${at}px`;
    input.setAttribute("aria-valuetext", `${input.value} % of the map shows ${spec.years[0]}`);
  };
  L.DomEvent.disableClickPropagation(input);
  L.DomEvent.on(input, "keydown", L.DomEvent.stopPropagation);
  input.addEventListener("input", clip);
  map.on("move resize zoomend viewreset", clip);
  clip();
}

/** Tells people who cannot see the map what it is, and where the same is said in words. */
function describe(map, spec) {
  map.getContainer().setAttribute("role", "region");
  map.getContainer().setAttribute("aria-label", spec.label);
  document.documentElement.lang = "en";
  document.title = spec.label;
  if (window.frameElement) window.frameElement.title = spec.label;
}

/** The base map, with a word on the map while none of its tiles arrives. */
function baseLayer(map) {
  const credit = "&copy; OpenStreetMap contributors";
  const layer = L.tileLayer(BASE_MAP, { pane: "base", maxZoom: 19, attribution: credit });
  const note = L.DomUtil.create("div", "base-note", map.getContainer());
  note.setAttribute("role", "status");
  let wait = 0;
  const tell = (text) => { clearTimeout(wait); note.textContent = text; };
  layer.on("add", () => { tell(""); wait = setTimeout(tell, BASE_WAIT_MS, NO_BASE); });
  layer.on("remove tileload", () => tell(""));
  layer.on("tileerror", () => tell(NO_BASE));
  return layer;
}

window.minedetectMap = (map, spec) => {
  makePanes(map);
  describe(map, spec);
  map.attributionControl.setPrefix("Leaflet");
  const control = L.control.layers({}, {}, { collapsed: map.getSize().x < 700 }).addTo(map);
  const layers = spec.layers.map((told) => {
    const layer = told.outlines ? outlineLayer(told) : tileLayer(told);
    control.addOverlay(layer, told.title); // harmless HTML
    if (told.on) layer.addTo(map);
    return { told, layer };
  });
  const fit = ([west, south, east, north], options) => map.fitBounds([[south, west], [north, east]], options);
  fit(spec.bounds);
  if (spec.swipe) addSwipe(map, spec);

  const base = baseLayer(map);
  let seen = "null";
  /** What the page's own controls ask for; called again at each change. */
  window.setMinedetectMap = (state) => {
    for (const { told, layer } of layers.filter((one) => one.told.threshold)) {
      if (told.percent !== state.threshold) layer.setUrl(`${told.url}?threshold=${state.threshold}`);
      told.percent = state.threshold;
    }
    if (state.base) base.addTo(map);
    else base.remove();
    const wanted = JSON.stringify(state.bounds);
    if (wanted !== seen) fit(state.bounds || spec.bounds, { maxZoom: 17, padding: [30, 30] });
    seen = wanted;
  };
};
