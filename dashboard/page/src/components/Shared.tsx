/*
 * Shows the site of a public link, or says that the link is over.
 */
import { useEffect } from 'preact/hooks';
import { go, view } from '../state';
import { isOver, shared } from '../shared';
import { Site } from './Site';

export function Shared() {
  const site = shared.value?.site ?? '';
  const { site: named, page } = view.value;
  const isThere = named === site && !page;
  useEffect(() => {
    if (site && !isThere) go({ site, page: '' }, 'replace'); // an address without the site, or with another
  }, [site, isThere]);
  if (isOver.value) return <Over />;
  return site && isThere ? <Site key={site} /> : <div aria-busy="true" />;
}

function Over() {
  return (
    <div class="empty" role="alert">
      <h1>This link shows nothing now</h1>
      <p>It was revoked or its password was changed, or this browser has not kept its cookie. Ask whoever gave it to you, or open it again.</p>
      <p>
        <button type="button" class="button" onClick={() => location.reload()}>
          Open it again
        </button>
      </p>
    </div>
  );
}
