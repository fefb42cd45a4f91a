/**
 * Results to be shown: small, complete, of no run.
 */
import type { ExperimentResult, Plot } from '../../../src/results/experiment_result.ts'
import type { Provenance } from '../../../src/results/provenance.ts'

/** Of no run. */
export const provenance: Provenance = {
  version: '0.1.0',
  commit: null,
  runtime: 'node 24.0.0',
  system: 'linux x64',
  processor: 'a processor',
  threads: 2,
  backend: 'wasm',
  device: null,
  model: { name: 'a model', hash: '0123' },
  data: { name: 'a text', hash: '4567' },
  seed: 3,
  argv: ['reproduce'],
  date: '2026-01-02T03:04:05.000Z',
}

/** A small result; what is given replaces its parts. */
export function resultOf(more: Partial<ExperimentResult> = {}): ExperimentResult {
  return {
    name: 'curve',
    title: 'Perplexity by sparsity',
    asks: 'How much is lost?',
    command: 'shadowllm reproduce --experiment curve',
    columns: [
      { key: 'planner', label: 'planner' },
      { key: 'ppl', label: 'perplexity', unit: 'per token' },
      { key: 'speed', label: 'speed', unit: 'tokens/s', digits: 0 },
    ],
    rows: [
      { planner: 'dense', ppl: 92.31, speed: 12345.6 },
      { planner: 'shadow', ppl: 113.04, speed: null },
    ],
    plots: [linePlot()],
    paper: { columns: [{ key: 'a', label: 'published' }], rows: [{ a: 30.75 }], source: 'a paper' },
    findings: ['It holds.'],
    provenance,
    complete: true,
    seconds: 12.3,
    ...more,
  }
}

/** Two series, one of them with errors. */
export function linePlot(more: Partial<Plot> = {}): Plot {
  return {
    title: 'A curve',
    kind: 'line',
    x: { label: 'units skipped (%)' },
    y: { label: 'perplexity (per token)' },
    series: [
      { name: 'shadow', points: [30, 50, 70].map((x) => ({ x, y: 100 + x, error: 2 })) },
      { name: 'random', points: [30, 50, 70].map((x) => ({ x, y: 150 + x })) },
    ],
    ...more,
  }
}
