// Draws panels where their dashboard has them, each with Grafana's component for it.
import '@grafana/react-data-grid/lib/styles.css';
import 'uplot/dist/uPlot.min.css';

import { createTheme, dateTime, ThemeContext } from '@grafana/data';
import { FlameGraph } from '@grafana/flamegraph';
import { BigValue, BigValueColorMode, BigValueGraphMode, GlobalStyles, PanelChrome, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { createRoot } from 'react-dom/client';

import { lines, sparklines, table } from './frames.mjs';

const COLUMN_PX = 1600 / 24;
const ROW_PX = 38;
const GAP_PX = 8;
const theme = createTheme({ colors: { mode: 'light' } });

/** What stands in a panel of these sizes. */
function drawn(asked, view, width, height) {
  switch (asked.panel.type) {
    case 'stat':
      return stat(asked, width, height);
    case 'timeseries':
      return (
        <TimeSeries
          frames={[lines(asked, theme)]}
          width={width}
          height={height}
          timeRange={view.range}
          timeZone="utc"
          legend={asked.panel.options.legend}
        />
      );
    case 'table': {
      const trend = asked.panel.transformations?.some(({ id }) => id === 'timeSeriesTable');
      const data = (trend ? sparklines : table)(asked, theme);
      const shown = { ...data, fields: data.fields.filter((field) => !field.config.custom?.hidden) };
      return (
        <TableNG data={shown} width={width} height={height} cellHeight="sm" timeRange={view.range} />
      );
    }
    case 'flamegraph':
      return <FlameGraph data={table(asked, theme)} getTheme={() => theme} vertical disableCollapsing />;
    default:
      return <p>Grafana publishes no component for a {asked.panel.type}: drawn by Grafana alone.</p>;
  }
}

function stat(asked, width, height) {
  const fields = table(asked, theme).fields;
  return (
    <div style={{ display: 'flex' }}>
      {fields.map((field) => {
        const value = { ...field.display(field.values[0]), title: field.state.displayName };
        return (
          <BigValue
            key={field.name}
            theme={theme}
            value={value}
            colorMode={BigValueColorMode.Value}
            graphMode={BigValueGraphMode.None}
            width={width / fields.length}
            height={height}
          />
        );
      })}
    </div>
  );
}

function Panel({ asked, view }) {
  const { x, y, w, h } = asked.panel.gridPos;
  const [width, height] = [w * COLUMN_PX - GAP_PX, h * ROW_PX - GAP_PX];
  const style = { position: 'absolute', left: x * COLUMN_PX, top: y * ROW_PX, width, height };
  return (
    <div style={style} data-panel={asked.panel.title}>
      <PanelChrome title={asked.panel.title} width={width} height={height}>
        {(innerWidth, innerHeight) => drawn(asked, view, innerWidth, innerHeight)}
      </PanelChrome>
    </div>
  );
}

function Row({ panel }) {
  const style = { position: 'absolute', top: panel.gridPos.y * ROW_PX, left: 4, fontSize: 18 };
  return <h2 style={style}>{panel.title}</h2>;
}

/** Called by draw.mjs with a dashboard and its panels' answers. */
window.draw = (dashboard, panels, { from, to }) => {
  const [begin, end] = [dateTime(from), dateTime(to)];
  const view = { range: { from: begin, to: end, raw: { from: begin, to: end } } };
  const bottoms = dashboard.panels.map(({ gridPos }) => (gridPos.y + gridPos.h) * ROW_PX);
  const height = Math.max(...bottoms);
  document.body.style.height = `${height}px`;
  createRoot(document.querySelector('#dashboard')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      {dashboard.panels.filter(({ type }) => type === 'row').map((panel) => (
        <Row key={panel.id} panel={panel} />
      ))}
      {panels.map((asked) => (
        <Panel key={asked.panel.id} asked={asked} view={view} />
      ))}
    </ThemeContext.Provider>,
  );
  return height;
};
