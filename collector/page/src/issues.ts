// Which issues the list shows, and how their states are called.

import type { IssueState } from './api';

interface StateWords {
  label: string;
  meaning: string;
}

export const STATES: Record<IssueState, StateWords> = {
  new: { label: 'new', meaning: 'It blocked for the first time within the range' },
  regressed: {
    label: 'regressed',
    meaning: 'It is back after a week, or after a version that ran without it',
  },
  ongoing: { label: 'ongoing', meaning: 'It blocked before the range, and within it' },
  quiet: { label: 'quiet', meaning: 'It did not block within the range' },
  muted: { label: 'muted', meaning: 'Somebody muted it' },
};

const OPEN: readonly IssueState[] = ['new', 'regressed', 'ongoing'];

/** What one may choose: the word in the URL, and the states that it stands for. */
export const CHOICES: { id: string; label: string; states: readonly IssueState[] }[] = [
  { id: '', label: 'Open', states: OPEN },
  { id: 'new', label: 'New', states: ['new'] },
  { id: 'regressed', label: 'Regressed', states: ['regressed'] },
  { id: 'ongoing', label: 'Ongoing', states: ['ongoing'] },
  { id: 'quiet', label: 'Quiet', states: ['quiet'] },
  { id: 'muted', label: 'Muted', states: ['muted'] },
  { id: 'all', label: 'All', states: [] },
];

export function statesOf(choice: string): readonly IssueState[] {
  return CHOICES.find((c) => c.id === choice)?.states ?? OPEN;
}

const RANK: Record<IssueState, number> = { regressed: 0, new: 1, ongoing: 2, quiet: 3, muted: 4 };

/** For the order of the column: what to look at first. */
export const rankOf = (state: IssueState): number => RANK[state] ?? 5;
