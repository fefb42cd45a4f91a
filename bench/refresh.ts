/**
 * What it costs to decide a mask again, or to check what is written, and what it mends: the embedded model under its own
 * predictor, on texts of the Brown corpus that it was not trained on.
 *
 * Costs of masks are those of given texts after their prompts, compared with dense. Speeds are of greedy decoding after the
 * same prompts: ratios inside rounds, the clock of each turn as in `shadowllm bench`. Of checked text no cost is given: it is
 * the text of the dense model.
 */
import { inTurn, loadBrown, splitDocuments } from '../src/data/corpus.ts'
import { cutWindows, makeWordEncoder, type Window } from '../src/data/windows.ts'
import type { LanguageModel } from '../src/engine/language_model.ts'
import { decodeTurn, tokensPerSecond, type Plan, type Turn } from '../src/evaluation/decode.ts'
import { DenseLogits, readLogits, scoreWindow } from '../src/evaluation/score_window.ts'
import { ShadowModel, type MaskPlanner } from '../src/library/index.ts'
import { write } from '../src/platform/platform.ts'
import { medianRatio, turnOrder } from '../src/results/interleaved_rounds.ts'
import { table } from './timing.ts'

const SPARSITIES = [0.5, 0.7, 0.9] as const
const DECISIONS = [undefined, 16, 1, 'auto'] as const
const CHECKS = [2, 4, 8] as const

/** Tokens of a prompt and of what follows it. */
const [PROMPT, TOKENS] = [32, 64]
/** Texts; a round decodes after one of them. */
const WINDOWS = 8

/** A way to write, and what it did. */
interface Arm {
  readonly words: readonly string[]
  readonly plan: Plan
  readonly turns: Turn[]
}

async function windowsOf(opt: ShadowModel): Promise<Window[]> {
  const { evaluate } = splitDocuments(await loadBrown())
  const encode = makeWordEncoder((text) => Int32Array.from(opt.encode(text)))
  const sizes = { prompt: PROMPT, continuation: TOKENS, prefixIds: opt.prefixIds }
  return inTurn(evaluate.map((document) => cutWindows(document, encode, sizes).slice(0, 1))).slice(0, WINDOWS)
}

/** A text and its dense logits. */
interface Text {
  readonly window: Window
  readonly dense: DenseLogits
}

/** KL from dense in nats per token, the share of tokens whose likeliest is dense's, and decisions per text. */
function costOf(model: LanguageModel, texts: readonly Text[], planner: MaskPlanner): string[] {
  let [kl, agreed, tokens, decisions] = [0, 0, 0, 0]
  for (const { window, dense } of texts) {
    const score = scoreWindow(model, window, { planner, dense })
    kl += score.kl ?? NaN
    agreed += score.agreed ?? NaN
    tokens += score.tokens
    decisions += score.decisions ?? NaN
  }
  const shares = [(kl / tokens).toFixed(3), ((100 * agreed) / tokens).toFixed(1)]
  return [...shares, (decisions / texts.length).toFixed(1)]
}

/** Decodes with all arms by turns, after another prompt in each round. */
async function timeArms(
  model: LanguageModel,
  arms: readonly Arm[],
  windows: readonly Window[],
): Promise<void> {
  for (const [round, { tokens, promptLength }] of windows.entries())
    for (const turn of turnOrder(round, arms.length)) {
      const { plan, turns } = arms[turn]
      turns.push(await decodeTurn(model, tokens.slice(0, promptLength), TOKENS, plan))
    }
}

/** What the checks of all turns made of what was drafted. */
function checkedBy(turns: readonly Turn[]): string[] {
  let [kept, drafted, checks, tokens] = [0, 0, 0, 0]
  for (const { checked, tokens: written } of turns) {
    if (!checked) continue
    drafted += checked.rewound
    kept += checked.rewound - checked.replaced - checked.dropped
    checks += checked.checks
    tokens += written
  }
  return [((100 * kept) / drafted).toFixed(1), (tokens / checks).toFixed(2)]
}

export async function run(): Promise<void> {
  const opt = await ShadowModel.fromPretrained('embedded')
  try {
    const { model } = opt
    const windows = await windowsOf(opt)
    const texts = windows.map((window): Text => {
      const { tokens } = window
      return { window, dense: new DenseLogits(readLogits(model, window), tokens, model.config.vocabulary) }
    })
    const dense: Arm = { words: [], plan: {}, turns: [] }
    const again: Arm[] = []
    const checked: Arm[] = []
    for (const sparsity of SPARSITIES) {
      const percent = `${100 * sparsity}`
      for (const every of DECISIONS) {
        const planner = await opt.planner({ planner: 'shadow', sparsity, every })
        if (!planner) continue
        const cost = costOf(model, texts, planner)
        again.push({ words: [percent, String(every ?? 'once'), ...cost], plan: { planner }, turns: [] })
      }
      for (const check of CHECKS) {
        const planner = await opt.planner({ planner: 'shadow', sparsity, check })
        checked.push({ words: [percent, String(check)], plan: { planner, check }, turns: [] })
      }
    }
    const arms = [dense, ...again, ...checked]
    await timeArms(model, arms, windows)
    const rates = ({ turns }: Arm): number[] => turns.map(tokensPerSecond)
    const times = (arm: Arm): string => medianRatio(rates(arm), rates(dense)).toFixed(2)
    const size = `${windows.length} texts of ${PROMPT} + ${TOKENS} tokens, f32, one thread`
    await write('stdout', `Deciding again: ${size}\n\n`)
    const head = ['sparsity %', '--every', 'KL, nats', 'agreement %', 'decisions', 'x dense']
    await write('stdout', table([head, ...again.map((arm) => [...arm.words, times(arm)])]))
    await write('stdout', '\nChecked dense: the text is that of dense\n\n')
    const checkHead = ['sparsity %', '--check', 'draft kept %', 'tokens per check', 'x dense']
    const rows = checked.map((arm) => [...arm.words, ...checkedBy(arm.turns), times(arm)])
    await write('stdout', table([checkHead, ...rows]))
  } finally {
    await opt.dispose()
  }
}
