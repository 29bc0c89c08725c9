import type { TrendPoint } from '../api';
import { clock, duration } from '../format';
import { binned } from '../trend';

const BINS = 30;
const BIN = 4;
const HEIGHT = 24;

interface SparklineProps {
  trend: TrendPoint[];
  step: number;
  from: number;
  to: number;
}

/** A trend in the width of a cell. The columns beside it carry the totals, its title the peak. */
export function Sparkline({ trend, step, from, to }: SparklineProps) {
  const bins = binned(trend, step, from, to, BINS);
  const peak = Math.max(...bins);
  const peakAt = from + ((bins.indexOf(peak) + 0.5) * (to - from)) / BINS;
  const title =
    peak > 0 ? `Most of it around ${clock(peakAt)}: ${duration(peak)} of blocked time` : '';
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${BINS * BIN} ${HEIGHT}`}
      role="img"
      aria-label={title || 'Nothing'}
    >
      <title>{title}</title>
      <rect class="spark-base" y={HEIGHT - 1} width={BINS * BIN} height="1" />
      {bins.map((ns, i) => {
        if (ns <= 0) return null;
        const h = Math.max(1.5, (ns / peak) * (HEIGHT - 2));
        return (
          <rect key={i} class="spark-bar" x={i * BIN} y={HEIGHT - h} width={BIN - 1} height={h} />
        );
      })}
    </svg>
  );
}
