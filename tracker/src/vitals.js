/*
 * The tracker's file for web vitals: has the library web-vitals measure how quick the page was, and says it once, when the
 * page is hidden for the first time or left. A page from the back-forward cache is measured, and said, anew.
 *
 * Loaded when the page is idle (data-with="vitals"); the browser remembers what was to be measured before.
 *
 * Not promised: the vitals of a page whose process died while it was in front.
 */
import { onCLS, onFCP, onINP, onLCP, onTTFB } from 'web-vitals';

export default (queue, track) => {
  const url = location.href; // of the page that was loaded: an application shows another one by the time it is left
  let vitals = {};
  let isSaid = false;
  const note = ({ name, value, navigationType }) => {
    if (isSaid && navigationType === 'back-forward-cache') {
      vitals = {};
      isSaid = false;
    }
    vitals[name.toLowerCase()] = name === 'CLS' ? Math.round(value * 1e4) / 1e4 : Math.round(value); // others are milliseconds
  };
  const say = () => {
    if (isSaid || !Object.keys(vitals).length) return;
    isSaid = true;
    track('vitals', undefined, { url, vitals });
  };
  for (const on of [onCLS, onFCP, onINP, onLCP, onTTFB]) on(note, { reportAllChanges: true });
  addEventListener('visibilitychange', () => document.hidden && say(), true);
  addEventListener('pagehide', say, true);
};
