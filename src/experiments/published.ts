/**
 * Figures published with ShadowLLM, as its released repository (abdelfattah-lab/shadow_llm) records them: word perplexity on
 * WikiText-2 under masks that have seen the text they score, with attention heads pruned and the feed-forward layers, as
 * committed, whole. Other models than ours, so orders compare and numbers do not.
 */
import type { PaperFigures } from '../results/experiment_result.ts'

/** Word perplexities, a row for each name and a column for each share of units skipped, in percent. */
function table(
  key: string,
  label: string,
  shares: readonly number[],
  source: string,
  rows: readonly (readonly [name: string, ...values: (number | null)[]])[],
): PaperFigures {
  return {
    columns: [{ key, label }, ...shares.map((share) => ({ key: `at${share}`, label: `${share} %` }))],
    rows: rows.map(([name, ...values]) => ({
      [key]: name,
      ...Object.fromEntries(shares.map((share, i) => [`at${share}`, values[i]])),
    })),
    source,
  }
}

/** Static pruning by each criterion. */
export const publishedCriteria: PaperFigures = table(
  'criterion',
  'criterion',
  [20, 30, 40, 50, 60],
  'OPT-1.3B, static, 5-shot scores of all tasks: ablation_1.3b_pplx_lowsparsity and ablation_zcpaggr',
  [
    ['fisher', 17.14, 18.7, 22.09, 33.61, 88.68],
    ['plainact', 19.5, 25.59, 32.63, 42.79, 67.76],
    ['nwot', 18.28, 20.69, 27.71, 45.18, 148],
    ['grasp', 22.38, 34.41, 55.93, 68.68, 113.8],
    ['epenas', 19.4, 25.93, 49.89, 118.1, 349.5],
    ['jacov', 19.96, 25.8, 39.2, 125.1, 1275],
    ['grad_norm', 24.35, 51.69, 73.77, 126.4, 193.6],
    ['snip', 24.76, 43.81, 80.46, 131.8, 228.7],
    ['l2_norm', 24.82, 82.88, 223.2, 376.5, 853],
  ],
)

/** ShadowLLM with targets scaled two ways, pruned two ways. */
export const publishedScope: PaperFigures = table(
  'variant',
  'targets, scope',
  [20, 30, 40, 50, 60],
  'OPT-1.3B, ShadowLLM (plainact): ablation_loc_glob',
  [
    ['per layer, global', 17.21, 18.62, 22.37, 30.75, 49.43],
    ['per layer, per layer', 17.71, 19.61, 23.59, 36.8, 65.77],
    ['whole model, global', 19.53, 25.99, 32.95, 41.8, 63.87],
    ['whole model, per layer', 17.65, 19.61, 23.86, 37.53, 62.82],
  ],
)

/** One predictor or one per layer, by two criteria: where the repository has both. */
export const publishedTwoByTwo: PaperFigures = table(
  'variant',
  'predictor, criterion, scope',
  [30, 40, 50, 60],
  'OPT-30B: ablation_13b_wikitext and its neighbours; a per-layer predictor of plainact was not published',
  [
    ['ShadowLLM, plainact, global', 11, 11.36, 12.13, 13.64],
    ['ShadowLLM, plainact, per layer', 11.22, 11.83, 12.95, 15.44],
    ['DejaVu-style, l2_norm, global', 11.37, 13.26, 35.05, null],
    ['DejaVu-style, l2_norm, per layer', 16.47, 31.52, 95.49, null],
    ['ShadowLLM, l2_norm, global', 13.13, 25.46, 125.2, 439],
    ['ShadowLLM, l2_norm, per layer', 20.6, 59.3, 242.7, 482],
  ],
)

/** The main comparison on the largest model that has both. */
export const publishedCurve: PaperFigures = table(
  'variant',
  'planner',
  [30, 40, 50, 60],
  'OPT-13B, global: word perplexity of WikiText-2',
  [
    ['ShadowLLM (plainact)', 12.04, 12.7, 13.9, 17.1],
    ['DejaVu-style (l2_norm)', 12.27, 13, 17.37, 3380],
  ],
)

/** Static pruning by scores of 0, 3 and 5 shots. */
export const publishedShots: PaperFigures = {
  columns: [
    { key: 'shots', label: 'shots', digits: 0 },
    { key: 'perplexity', label: 'fisher, static, 40 %' },
  ],
  rows: [
    { shots: 0, perplexity: 31.82 },
    { shots: 3, perplexity: 22.89 },
    { shots: 5, perplexity: 21.44 },
  ],
  source: 'OPT-1.3B',
}
