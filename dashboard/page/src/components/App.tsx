/*
 * Shows the page that the address names: the list of sites, a site, or the site of a public link.
 */
import { useEffect, useRef } from 'preact/hooks';
import { away, loadLink, loadSites, tick } from '../api';
import { moment } from '../format';
import { LINK } from '../shared';
import { view } from '../state';
import { Header } from './Header';
import { Health } from './Health';
import { Shared } from './Shared';
import { Site } from './Site';
import { Sites } from './Sites';

export function App() {
  const { site, page } = view.value;
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => void (LINK ? loadLink() : loadSites()), [tick.value]);
  useEffect(() => {
    document.title = [page === 'health' ? 'Health' : site, 'Forebay'].filter(Boolean).join(' · ');
    // Whoever follows a link to another page by keyboard begins at its top. A public link has one page.
    if (!isFirst.current && !LINK) main.current?.focus();
    isFirst.current = false;
  }, [site, page]);
  return (
    <>
      <a class="skip" href="#main" onClick={event => (event.preventDefault(), main.current?.focus())}>
        Skip to the numbers
      </a>
      <Header />
      <Away />
      <main id="main" ref={main} tabIndex={-1}>
        {LINK ? <Shared /> : page === 'health' ? <Health /> : site ? <Site key={site} /> : <Sites />}
      </main>
    </>
  );
}

/** Says that the server does not answer, and that the page tries again. */
function Away() {
  const lost = away.value;
  return (
    <div class="away" role="status">
      {lost && (
        <p>
          <strong>{lost.why}</strong> The numbers below are from {moment(lost.since / 1000, undefined, { timeStyle: 'short' })}. This page tries again
          by itself.
        </p>
      )}
    </div>
  );
}
