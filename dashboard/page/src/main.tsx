import { render } from 'preact';
import './theme'; // before the first paint
import { App } from './components/App';

document.addEventListener('DOMContentLoaded', () => render(<App />, document.getElementById('app')!));
