/*
 * Shows a text with a button that copies it.
 */
import { useState } from 'preact/hooks';

export function Copied({ text, what }: { text: string; what: string }) {
  const [said, say] = useState('');
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => say('Copied'),
      () => say('Select it and copy it by hand'), // a browser that does not let pages do it
    );
  return (
    <div class="copied">
      <pre tabIndex={0} role="group" aria-label={what}>
        <code>{text}</code>
      </pre>
      <button type="button" class="button" aria-label={`Copy ${what}`} onClick={copy}>
        {said || 'Copy'}
      </button>
      <span class="unseen" role="status">
        {said}
      </span>
    </div>
  );
}
