// Fills the lists of events, the plots and the connection states from the cloud's event stream. What devices send is
// put in as text, never as HTML.
'use strict';

const MAX_LINES = 200;
const MAX_POINTS = 120;
const MAX_SERIES = 4;

function addLine(list, event) {
  list.querySelector('.quiet')?.remove();
  const row = document.createElement('p');
  const time = document.createElement('time');
  time.dateTime = event.time;
  time.textContent = event.time.slice(11, 23);
  row.append(time);
  if (event.event === 'telemetry' && list.dataset.events === '') {
    const device = document.createElement('b');
    device.textContent = event.device;
    row.append(device);
  }
  const text = document.createElement('span');
  text.textContent = event.line;
  if (event.event === 'refused') text.className = 'bad';
  row.append(text);
  list.prepend(row);
  while (list.childElementCount > MAX_LINES) list.lastElementChild.remove();
}

// The numbers of a telemetry message, at most one level deep.
function numbers(event) {
  if (event.event !== 'telemetry' || typeof event.body !== 'string') return [];
  let body;
  try { body = JSON.parse(event.body); } catch { return []; }
  if (typeof body === 'number') return [['value', body]];
  if (body === null || typeof body !== 'object') return [];
  const found = [];
  for (const [name, value] of Object.entries(body)) {
    const inner = value !== null && typeof value === 'object' ? Object.entries(value) : [];
    if (typeof value === 'number') found.push([name, value]);
    for (const [part, deep] of inner) if (typeof deep === 'number') found.push([`${name}.${part}`, deep]);
  }
  return found;
}

function element(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// One line for each number that a device sends, each with a scale of its own: their units differ.
class Plot {
  constructor(place) {
    this.place = place;
    this.series = new Map();
  }

  add(event) {
    const found = numbers(event);
    for (const [name, value] of found) {
      if (!this.series.has(name)) {
        if (this.series.size === MAX_SERIES) continue;
        this.series.set(name, []);
      }
      const points = this.series.get(name);
      points.push([Date.parse(event.time), value]);
      if (points.length > MAX_POINTS) points.shift();
    }
    return found.length > 0;
  }

  draw() {
    const [width, height, edge] = [720, 160, 12];
    const times = [...this.series.values()].flat().map(([time]) => time);
    if (times.length === 0) return;
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const svg = element('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', preserveAspectRatio: 'none' });
    const legend = document.createElement('ul');
    const said = [];
    for (const part of [0.25, 0.5, 0.75]) {
      svg.append(element('line', { x1: 0, x2: width, y1: part * height, y2: part * height, class: 'grid' }));
    }
    [...this.series].forEach(([name, points], index) => {
      const values = points.map(([, value]) => value);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const x = (time) => edge + (last === first ? 0.5 : (time - first) / (last - first)) * (width - 2 * edge);
      const y = (value) => height - edge - (high === low ? 0.5 : (value - low) / (high - low)) * (height - 2 * edge);
      const way = points.map(([time, value]) => `${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join('L');
      svg.append(element('path', { d: `M${way}h.1`, class: `line-${index}` }));
      const item = document.createElement('li');
      item.className = `line-${index}`;
      item.textContent = `${name} ${values.at(-1)} (${low} to ${high})`;
      said.push(item.textContent);
      legend.append(item);
    });
    svg.setAttribute('aria-label', `Telemetry: ${said.join(', ')}`);
    this.place.replaceChildren(svg, legend);
  }
}

function showState(event) {
  if (event.event !== 'connected' && event.event !== 'disconnected') return;
  for (const place of document.querySelectorAll('[data-state]')) {
    if (place.dataset.state !== event.device) continue;
    const badge = document.createElement('span');
    badge.className = event.event === 'connected' ? 'badge good' : 'badge';
    badge.textContent = event.event === 'connected' ? 'connected' : 'offline';
    place.replaceChildren(badge);
  }
}

async function follow() {
  const list = document.querySelector('[data-events]');
  if (!list && !document.querySelector('[data-state]')) return;
  const device = list?.dataset.events ?? '';
  const query = device === '' ? '' : `?device=${encodeURIComponent(device)}`;
  const place = document.querySelector('[data-plot]');
  const plot = place && new Plot(place);
  const take = (event) => {
    if (list) addLine(list, event);
    showState(event);
    if (plot?.add(event)) plot.draw();
  };
  const stream = new EventSource(`/portal/events${query}`);
  let early = [];
  stream.onmessage = ({ data }) => (early ? early.push(JSON.parse(data)) : take(JSON.parse(data)));
  await new Promise((resolve) => { stream.onopen = resolve; stream.onerror = resolve; });
  if (list) {
    const past = await (await fetch(`/portal/history${query}`)).json();
    // What came between the stream's opening and the history's end is in both.
    const same = ({ time, ...rest }) => JSON.stringify(rest);
    const known = new Set(past.slice(-20).map(same));
    early = early.filter((event) => !known.has(same(event)));
    for (const event of past) {
      addLine(list, event);
      plot?.add(event);
    }
    plot?.draw();
  }
  const late = early;
  early = null;
  late.forEach(take);
  document.documentElement.dataset.live = 'yes';
}

follow();
