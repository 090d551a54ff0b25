/*
 * Writes a sentence of the server, in which what is typed stands between backticks.
 */
export function Explained({ text }: { text: string }) {
  return <>{text.split('`').map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part))}</>;
}
