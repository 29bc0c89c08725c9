// A flame graph, root on top: a width is blocked time. Arrow keys walk it, Enter zooms.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';

import { boxAt, boxesOf, keyOf, nearest } from '../flame';
import type { Box, Node, Path } from '../flame';
import { duration, share } from '../format';
import { splitFunction } from '../names';
import { useWidth } from './chart';
import { Within } from './within';

const ROW = 20;
const LETTER = 6.6;
const LEAST_PX = 1.5;

interface FlameProps {
  root: Node;
  label: string;
  /** Frames with this text are marked. */
  marked?: string;
  /** By how much the share of a frame changed. */
  changeOf?: ((frame: string) => number) | undefined;
  onChoose?: ((frame: string) => void) | undefined;
}

export function Flame({ root, label, marked = '', changeOf, onChoose }: FlameProps) {
  const [box, width] = useWidth();
  // By their paths: fresh rows may put a frame elsewhere.
  const [zoom, setZoom] = useState<Path>([]);
  const [at, setAt] = useState<Path>([]);
  const whole = nearest(root, zoom);
  const boxes = boxesOf(whole.node, LEAST_PX / Math.max(1, width), whole.path);
  const depth = boxes.reduce((max, b) => Math.max(max, b.depth), 0) + 1;
  const current = boxAt(boxes, at);
  const graph = useFocusKept(current);
  const walk = (event: KeyboardEvent) => {
    const to = neighbour(boxes, current, event.key);
    if (to === null) return;
    event.preventDefault();
    focusFrame(graph.current, to);
  };
  const open = ({ node, path }: Box) => setZoom(node === whole.node ? [] : path);
  return (
    <div class="flame" ref={box}>
      {whole.path.length > 0 && (
        <button type="button" class="button mute" onClick={() => setZoom([])}>
          Show all
        </button>
      )}
      <svg
        ref={graph}
        width={width}
        height={depth * ROW}
        role="group"
        aria-label={label}
        onKeyDown={walk}
      >
        {boxes.map((b, i) => (
          <Frame
            key={keyOf(b.path)}
            box={b}
            width={width}
            total={root.value}
            tabIndex={i === current ? 0 : -1}
            marked={marked !== '' && b.node.label.toLowerCase().includes(marked)}
            change={changeOf?.(b.node.label)}
            onOpen={() => open(b)}
            onFocus={() => setAt(b.path)}
          />
        ))}
      </svg>
      {onChoose && boxes[current] && current > 0 && (
        <p class="flame-note">
          <bdi class="mono name">{boxes[current]?.node.label}</bdi>{' '}
          <button
            type="button"
            class="button mute"
            onClick={() => onChoose(boxes[current]?.node.label ?? '')}
          >
            Callers and callees
          </button>
        </p>
      )}
    </div>
  );
}

const focusFrame = (graph: SVGSVGElement | null, index: number) =>
  graph?.querySelectorAll<SVGGElement>('.flame-frame')[index]?.focus();

/** A frame that had the focus and is moved, or goes, leaves it to the one that is current then. */
function useFocusKept(current: number) {
  const graph = useRef<SVGSVGElement>(null);
  const hasFocus = () => graph.current?.contains(document.activeElement) ?? false;
  const had = hasFocus();
  useLayoutEffect(() => {
    if (had && !hasFocus()) focusFrame(graph.current, current);
  });
  return graph;
}

interface FrameProps {
  box: Box;
  width: number;
  total: number;
  tabIndex: number;
  marked: boolean;
  change: number | undefined;
  onOpen: () => void;
  onFocus: () => void;
}

function Frame({ box, width, total, tabIndex, marked, change, onOpen, onFocus }: FrameProps) {
  const { node, depth, left } = box;
  const w = box.width * width;
  const changed =
    change === undefined ? '' : `, ${change >= 0 ? '+' : '−'}${share(Math.abs(change), 1)}`;
  const words = `${node.label}: ${duration(node.value)}, ${share(node.value, total)}${changed}`;
  const letters = Math.floor((w - 6) / LETTER);
  return (
    <g
      class={`flame-frame ${kindOf(node.label, change)}${marked ? ' marked' : ''}`}
      role="button"
      tabIndex={tabIndex}
      aria-label={words}
      onClick={onOpen}
      onFocus={onFocus}
      onKeyDown={(event) => event.key === 'Enter' && onOpen()}
    >
      <title>{words}</title>
      <rect x={left * width} y={depth * ROW} width={Math.max(1, w - 1)} height={ROW - 1} rx="2" />
      {letters > 2 && (
        <Within x={left * width + 4} y={depth * ROW} width={w - 6} height={ROW}>
          <text y="14">{splitFunction(node.label).short}</text>
        </Within>
      )}
    </g>
  );
}

/** The standard library, the runtime and the system are not what one changes. */
const FOREIGN = /^(all$|<?(std|core|alloc|tokio|mio)(::|[ <])|lib\w+\.so|_|clock_|futex|syscall)/;

function kindOf(label: string, change: number | undefined): string {
  if (change !== undefined) {
    if (Math.abs(change) < 0.001) return 'same';
    const size = Math.abs(change) > 0.1 ? 'much' : 'some';
    return change > 0 ? `grew-${size}` : `shrank-${size}`;
  }
  return FOREIGN.test(label) ? 'foreign' : 'own';
}

function neighbour(boxes: readonly Box[], at: number, key: string): number | null {
  const here = boxes[at];
  if (!here) return null;
  if (key === 'ArrowUp') return here.parent >= 0 ? here.parent : null;
  if (key === 'ArrowDown') {
    const first = boxes.findIndex((b) => b.parent === at);
    return first >= 0 ? first : null;
  }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (!step) return null;
  const row = boxes.flatMap((b, i) => (b.depth === here.depth ? [i] : []));
  return row[row.indexOf(at) + step] ?? null;
}
