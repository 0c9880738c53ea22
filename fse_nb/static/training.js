// The training scrubber: landmarks on the same pictures after more and more steps of a run, beside those of another run.
import {h, saver, frames, listen, slider, choose, button, tile} from './ui.js';

export const defaults = {sheet: '', cols: 4, colors: [], names: [], steps: [], points: [], rings: [], errors: [], run: 0, at: 0};

export function said({names, steps, errors}, run, at) { // one line about a moment of a run
  return `${names[run]}, after ${steps[at]} steps: error ${errors[run][at].toFixed(1)} px`;
}

function render({model, el}) {
  const get = k => model.get(k), save = saver(model), set = d => { model.set(d); save(); };
  const state = () => Object.fromEntries(Object.keys(defaults).map(k => [k, get(k)]));
  el.classList.add('fse-widget');
  const grid = h('div', {class: 'fse-grid fse-frames', role: 'group', 'aria-label': 'Images above, their warps below'});
  const note = h('p', {class: 'fse-note', 'aria-live': 'polite'});
  const time = slider({label: 'training step', min: 0, max: Math.max(0, get('steps').length - 1), step: 1, get: () => get('at'), show: i => String(get('steps')[i] ?? ''), set: v => set({at: v})});
  const runs = choose({label: 'run ', options: get('names').map((n, i) => [i, n]), get: () => get('run'), set: v => set({run: +v})});
  let timer = null;
  const halt = () => { clearInterval(timer); timer = null; play.textContent = 'Play'; };
  const play = button('Play', () => {
    if (timer) return halt();
    if (get('at') >= get('steps').length - 1) set({at: 0});
    play.textContent = 'Stop';
    timer = setInterval(() => get('at') < get('steps').length - 1 ? set({at: get('at') + 1}) : halt(), 350);
  });
  el.append(h('div', {class: 'fse-row'}, runs, play), h('div', {class: 'fse-controls'}, time), note, grid);
  let tiles = [];

  function setup() {
    const n = 2 * get('cols');
    grid.style.gridTemplateColumns = `repeat(${get('cols')}, 1fr)`;
    tiles = Array.from({length: n}, (_, i) => tile(get('sheet'), i, get('cols'), n));
    grid.replaceChildren(...tiles);
  }
  function update() {
    const {points, rings, colors, cols} = state(), run = get('run'), at = Math.min(get('at'), get('steps').length - 1);
    if (!points.length) return;
    const circle = ([x, y], k, ring) => h('circle', {cx: x, cy: y, r: ring ? .085 : .05, class: ring ? 'fse-true' : 'fse-point', [ring ? 'stroke' : 'fill']: colors[k]});
    tiles.forEach((t, i) => t.svg.replaceChildren(...(i < cols ? rings[run][at][i] : []).map((p, k) => circle(p, k, true)), ...points[run][at][i].map((p, k) => circle(p, k, false))));
    note.textContent = said(state(), run, at);
    [time, runs].forEach(o => o.update());
  }
  setup();
  update();
  const stop = [halt, listen(model, ['sheet', 'cols', 'points', 'rings'], () => { setup(); update(); }), listen(model, ['run', 'at'], frames(update))];
  return () => stop.forEach(f => f());
}

export default {render};
