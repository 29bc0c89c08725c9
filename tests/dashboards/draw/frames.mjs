// ClickHouse's answers as Grafana's data frames: what the data source and the panel do in between.
import {
  FieldType,
  getDisplayProcessor,
  getFieldDisplayName,
  toDataFrame,
} from '@grafana/data';

const isTime = (type) => type.startsWith('DateTime');
const isNumber = (type) => /^(UInt|Int|Float)\d+$/.test(type);
const kind = (type) =>
  isTime(type) ? FieldType.time : isNumber(type) ? FieldType.number : FieldType.string;
const cell = (type, value) =>
  isTime(type) ? Date.parse(value) : Array.isArray(value) ? value.join(', ') : value;

/** The answer as it is: a table. */
export function table({ panel, answer }, theme) {
  const fields = answer.meta.map(({ name, type }, at) => ({
    name,
    type: kind(type),
    config: {},
    values: answer.data.map((row) => cell(type, row[at])),
  }));
  return dressed(toDataFrame({ refId: 'A', fields }), panel, theme);
}

/** Rows of time, labels and numbers as lines: one frame with a field for each set of labels. */
export function lines({ panel, answer }, theme) {
  const columns = answer.meta.map(({ name, type }, at) => ({ name, at, kind: kind(type) }));
  const labels = columns.filter((column) => column.kind === FieldType.string);
  const numbers = columns.filter((column) => column.kind === FieldType.number);
  const rowTime = (row) => Date.parse(row[0]);
  const times = [...new Set(answer.data.map(rowTime))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const fields = new Map();
  for (const row of answer.data) {
    const named = Object.fromEntries(labels.map((label) => [label.name, row[label.at]]));
    for (const number of numbers) {
      const key = JSON.stringify([number.name, named]);
      if (!fields.has(key)) {
        const values = new Array(times.length).fill(null);
        fields.set(key, { name: number.name, type: FieldType.number, labels: named, config: {}, values });
      }
      fields.get(key).values[at.get(rowTime(row))] = row[number.at];
    }
  }
  const time = { name: 'time', type: FieldType.time, config: {}, values: times };
  return dressed(toDataFrame({ refId: 'A', fields: [time, ...fields.values()] }), panel, theme);
}

/** A row for each line, with the line in it. */
export function sparklines(asked, theme) {
  const all = lines(asked, theme);
  const [time, ...series] = all.fields;
  const names = Object.keys(series[0]?.labels ?? {});
  const texts = names.map((name) => ({
    name,
    type: FieldType.string,
    config: {},
    values: series.map((field) => field.labels[name]),
  }));
  const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
  const trend = {
    name: 'Trend',
    type: FieldType.frame,
    config: { ...series[0]?.config, custom: { cellOptions: { type: 'sparkline' } } },
    values: series.map((field) => ({
      ...toDataFrame({ fields: [{ ...time }, { ...field, config: { unit: field.config.unit } }] }),
      value: sum(field.values),
    })),
  };
  const frame = toDataFrame({ fields: [...texts, trend] });
  frame.fields.forEach((field) => (field.display = getDisplayProcessor({ field, theme })));
  return frame;
}

/** A frame with what the panel's `fieldConfig` says of its fields. */
function dressed(frame, panel, theme) {
  const { defaults, overrides } = panel.fieldConfig;
  frame.fields.forEach((field, index) => {
    field.config = structuredClone(field.type === FieldType.time ? {} : defaults);
    const own = overrides.filter(({ matcher }) => matcher.options === field.name);
    for (const { id, value } of own.flatMap((override) => override.properties)) {
      set(field.config, id.split('.'), value);
    }
    field.config.links = undefined;
    const name = field.config.displayName?.replaceAll(
      /\$\{__field\.labels\.(\w+)\}/g,
      (_, label) => field.labels?.[label] ?? '',
    );
    field.config.displayName = name;
    field.state = { seriesIndex: index - 1, displayName: name };
    field.display = getDisplayProcessor({ field, theme });
    field.state.displayName = getFieldDisplayName(field, frame);
  });
  return frame;
}

function set(object, [key, ...rest], value) {
  if (rest.length === 0) object[key] = value;
  else set((object[key] ??= {}), rest, value);
}
