/**
 * Figures others published, to stand beside ours. They are facts with a source, never inputs of a computation here.
 */
import type { PaperFigures } from '../results/experiment_result.ts'

/** MACs of the predictors per token, and what one predictor saves. The formula gives 3025 where 3030 is published. */
export const publishedPredictorCost: PaperFigures = {
  columns: [
    { key: 'model', label: 'model' },
    { key: 'dejavu', label: 'DejaVu', unit: 'million MACs', digits: 0 },
    { key: 'shadow', label: 'ShadowLLM', unit: 'million MACs', digits: 0 },
    { key: 'saved', label: 'saved', unit: '%', digits: 2 },
  ],
  rows: [
    { model: 'opt-1.3b', dejavu: 252, shadow: 204, saved: 19.11 },
    { model: 'opt-6.7b', dejavu: 672, shadow: 542, saved: 19.34 },
    { model: 'opt-13b', dejavu: 1050, shadow: 846, saved: 19.47 },
    { model: 'opt-30b', dejavu: 1760, shadow: 1420, saved: 19.55 },
    { model: 'opt-66b', dejavu: 3030, shadow: 2430, saved: 19.66 },
    { model: 'opt-175b', dejavu: 6050, shadow: 4850, saved: 19.76 },
  ],
  source: 'ShadowLLM, table of predictor FLOPs; released code (abdelfattah-lab/shadow_llm), perf_model.py',
}

const timings: readonly (readonly [model: string, gpus: number, dejavu: number, shadow: number])[] = [
  ['opt-1.3b', 1, 654, 539],
  ['opt-6.7b', 2, 1121, 978],
  ['opt-13b', 4, 1315, 1154],
  ['opt-30b', 4, 2095, 1811],
  ['opt-66b', 4, 3565, 3085],
]

/** Measured latencies of the released code, half of the units kept, the predictor asked for every token. */
export const publishedLatency: PaperFigures = {
  columns: [
    { key: 'model', label: 'model' },
    { key: 'gpus', label: 'GPUs', digits: 0 },
    { key: 'dejavu', label: 'DejaVu', unit: 'ms', digits: 0 },
    { key: 'shadow', label: 'ShadowLLM', unit: 'ms', digits: 0 },
    { key: 'saved', label: 'less time', unit: '%', digits: 1 },
  ],
  rows: timings.map(([model, gpus, dejavu, shadow]) => ({
    model,
    gpus,
    dejavu,
    shadow,
    saved: 100 * (1 - shadow / dejavu),
  })),
  source:
    'one call of 128 + 128 tokens on A100 GPUs, random weights, ShadowLLM asked once per token: released code (abdelfattah-lab/shadow_llm), a100_perffinal.csv',
}
