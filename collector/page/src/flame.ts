// Flame graphs as trees: from the rows of the API, turned around a frame, and compared.

import type { FlameRow } from './api';

export interface Node {
  label: string;
  value: number;
  self: number;
  children: Node[];
}

const node = (label: string): Node => ({ label, value: 0, self: 0, children: [] });

/** The tree of rows that come depth first. */
export function treeOf(rows: readonly FlameRow[]): Node {
  const path: Node[] = [];
  const root = node('all');
  for (const { level, value, self, label } of rows) {
    const made = { label, value, self, children: [] };
    if (level === 0) Object.assign(root, made);
    path.length = level;
    path.at(-1)?.children.push(level === 0 ? root : made);
    path.push(level === 0 ? root : made);
  }
  return root;
}

/**
 * The graph without what is further out than the function's own frames: the runtime, the thread, the
 * framework. Stacks without such a frame stay whole.
 */
export function trimmed(root: Node, name: string): Node {
  const out = { ...node(root.label), value: root.value };
  const own = (of: Node) => of.label.startsWith(name) || of.children.some(own);
  const visit = (of: Node) => {
    if (of.label.startsWith(name)) merge(child(out, of.label), of);
    else if (own(of)) for (const next of of.children) visit(next);
    else merge(child(out, of.label), of);
  };
  for (const next of root.children) visit(next);
  out.children.sort((a, b) => b.value - a.value);
  return out;
}

/** All that the frame called, and all that called it, from the frame outwards. */
export function sandwich(root: Node, frame: string): { callees: Node; callers: Node } {
  const [callees, callers] = [node(frame), node(frame)];
  const visit = (of: Node, path: readonly Node[]) => {
    // Of a recursion the outermost counts, or its time would count twice.
    if (of.label === frame && !path.some((p) => p.label === frame)) {
      merge(callees, of);
      let at = callers;
      at.value += of.value;
      for (const caller of [...path].reverse()) {
        if (caller === root) break;
        at = child(at, caller.label);
        at.value += of.value;
      }
    }
    for (const next of of.children) visit(next, [...path, of]);
  };
  visit(root, []);
  return { callees, callers };
}

function child(of: Node, label: string): Node {
  let found = of.children.find((c) => c.label === label);
  if (!found) of.children.push((found = node(label)));
  return found;
}

function merge(into: Node, of: Node) {
  into.value += of.value;
  into.self += of.self;
  for (const next of of.children) merge(child(into, next.label), next);
}

/** Shares of the whole by frame, a frame counted once a stack. */
export function sharesOf(root: Node): Map<string, number> {
  const shares = new Map<string, number>();
  const visit = (of: Node, open: ReadonlySet<string>) => {
    if (!open.has(of.label))
      shares.set(of.label, (shares.get(of.label) ?? 0) + of.value / (root.value || 1));
    const inside = new Set(open).add(of.label);
    for (const next of of.children) visit(next, inside);
  };
  for (const next of root.children) visit(next, new Set());
  return shares;
}

export interface Change {
  frame: string;
  before: number;
  after: number;
}

/** The frames whose share of the time changed most. */
export function changes(after: Node, before: Node): Change[] {
  const [a, b] = [sharesOf(after), sharesOf(before)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((frame) => ({ frame, before: b.get(frame) ?? 0, after: a.get(frame) ?? 0 }))
    .filter((c) => Math.abs(c.after - c.before) >= 0.001)
    .sort((x, y) => Math.abs(y.after - y.before) - Math.abs(x.after - x.before));
}

/** Labels from the root's children down: what a frame keeps when fresh rows come. */
export type Path = readonly string[];

/** The frame at a path, or the nearest above it that there still is. */
export function nearest(root: Node, path: Path): { node: Node; path: Path } {
  let found = root;
  for (const [depth, label] of path.entries()) {
    const next = found.children.find((c) => c.label === label);
    if (!next) return { node: found, path: path.slice(0, depth) };
    found = next;
  }
  return { node: found, path };
}

/** Tells paths apart. */
export const keyOf = (path: Path): string => JSON.stringify(path);

export interface Box {
  node: Node;
  path: Path;
  depth: number;
  /** Parts of the whole width. */
  left: number;
  width: number;
  parent: number;
}

/** Where each frame below the one at a path is drawn; what is narrower than `least` is left out. */
export function boxesOf(root: Node, least: number, path: Path = []): Box[] {
  const boxes: Box[] = [];
  const visit = (of: Node, at: Path, depth: number, left: number, parent: number) => {
    const width = of.value / (root.value || 1);
    if (width < least) return;
    const index = boxes.push({ node: of, path: at, depth, left, width, parent }) - 1;
    let to = left;
    for (const next of of.children) {
      visit(next, [...at, next.label], depth + 1, to, index);
      to += next.value / (root.value || 1);
    }
  };
  visit(root, path, 0, 0, -1);
  return boxes;
}

/** Which of the boxes is at a path, or the nearest above it; else the first. */
export function boxAt(boxes: readonly Box[], path: Path): number {
  const keys = boxes.map((b) => keyOf(b.path));
  for (let length = path.length; length > 0; length -= 1) {
    const found = keys.indexOf(keyOf(path.slice(0, length)));
    if (found >= 0) return found;
  }
  return 0;
}
