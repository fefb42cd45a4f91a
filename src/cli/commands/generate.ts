/**
 * `shadowllm generate`: text on stdout, token by token, with units really skipped.
 */
import type { Command } from 'commander'
import type { MaskMode } from '../../engine/active_block.ts'
import { defaultCache, type CacheStorage } from '../../engine/layer_cache.ts'
import { now } from '../../platform/platform.ts'
import type { GenerateStep } from '../../options.ts'
import { generationPlanners, type GenerationPlanner } from '../../planner_options.ts'
import type { ShadowModel } from '../../shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import {
  addPlanFlags,
  choiceOf,
  everyOption,
  loadPlanFiles,
  modeOption,
  plannersHelp,
  type PlanFlags,
} from '../planner_flags.ts'
import { jsonText } from '../report.ts'
import type { Session } from '../session.ts'
import { numberFlag, wholeFlag } from '../values.ts'

const help = `${plannersHelp(generationPlanners)}

The mask that the prompt decides holds for the whole text, unless --every decides again.
Ctrl-C keeps the text so far and ends with exit code 130.

Examples:
  $ shadowllm generate "Once upon a time"
  $ shadowllm generate "The captain" --temperature 0.8 --top-k 40 --seed 7
  $ shadowllm generate "The captain" --planner random --sparsity 0.7 --max-tokens 32
  $ shadowllm generate "The captain" --planner shadow --sparsity 0.7
  $ shadowllm generate "The captain" --planner prompt-plainact --head-sparsity 0.3 --neuron-sparsity 0.8
  $ shadowllm generate "The captain" --planner shadow --every 16
  $ shadowllm generate -m facebook/opt-125m "The captain"
  $ shadowllm generate -m DIR "The captain" --planner static --calibration DIR
  $ shadowllm generate -m DIR "The captain" --planner dejavu --predictor FILE`

interface GenerateFlags extends ModelFlags, PlanFlags {
  readonly planner: GenerationPlanner
  readonly every?: number
  readonly maxTokens?: number
  readonly temperature: number
  readonly topK?: number
  readonly topP: number
  readonly mode: MaskMode
  readonly cache?: CacheStorage
  readonly json?: boolean
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.argument('<prompt>', 'text to begin with')
  addFlags(command, 'model')
  addPlanFlags(command, generationPlanners, 'dense')
    .addOption(everyOption())
    .option('--max-tokens <count>', 'how many tokens at most (default: 64)', wholeFlag('max-tokens', 1))
    .option('--temperature <number>', '0 is greedy', numberFlag('temperature', 0, 100), 0)
    .option('--top-k <count>', 'draw among this many tokens only (default: all)', wholeFlag('top-k', 1))
    .option('--top-p <share>', 'draw among the likeliest tokens that hold this share together', topPFlag, 1)
  addFlags(command, 'backend', 'storage', 'threads').addOption(modeOption())
  addFlags(command, 'cache', 'json', 'quiet')
    .addHelpText('after', help)
    .action((prompt: string, flags: GenerateFlags) =>
      withModel(session, flags, (opt) => runGenerate(session, opt, prompt, flags)),
    )
}

function topPFlag(text: string): number {
  const share = numberFlag('top-p', 0, 1)(text)
  if (share > 0) return share
  throw new UsageError('VALUE', '--top-p: expected a share above 0, got 0')
}

async function runGenerate(
  session: Session,
  opt: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
): Promise<void> {
  await loadPlanFiles(opt, flags)
  const steps: GenerateStep[] = []
  const start = now()
  let end: string = 'interrupted'
  try {
    end = await write(session, opt, prompt, flags, steps)
  } finally {
    // Ctrl-C ends the writing with an error; the text so far is kept.
    if (flags.json && (end !== 'interrupted' || session.signal.aborted)) {
      const seconds = (now() - start) / 1000
      await session.print(jsonText(summary(opt, prompt, flags, steps, end, seconds)))
    } else if (steps.length > 0) await session.print('\n')
  }
}

/** Writes the text and collects its steps; returns why it ended. */
async function write(
  session: Session,
  opt: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
  steps: GenerateStep[],
): Promise<string> {
  const { planner, every, maxTokens, temperature, topK, topP, mode, cache } = flags
  const { signal } = session
  const decided = { ...choiceOf(flags), planner, every, mode }
  const text = opt.generate(prompt, { ...decided, maxTokens, cache, temperature, topK, topP, signal })
  for (;;) {
    const { done, value } = await text.next()
    if (done) return value
    steps.push(value)
    if (!flags.json && value.text !== '') await session.print(value.text)
  }
}

function summary(
  { name, origin }: ShadowModel,
  prompt: string,
  { planner, sparsity, headSparsity, neuronSparsity, scope, every, cache, storage, seed }: GenerateFlags,
  steps: readonly GenerateStep[],
  end: string,
  seconds: number,
): object {
  const isDense = planner === 'dense'
  return {
    model: name,
    ...(origin && { hub: origin }),
    prompt,
    text: steps.map((step) => step.text).join(''),
    tokens: steps.map((step) => step.token),
    end,
    seconds,
    planner,
    sparsity: isDense ? 0 : sparsity,
    ...(!isDense && { headSparsity, neuronSparsity, scope, every }),
    cache: cache ?? defaultCache(storage ?? 'f32'),
    seed,
  }
}
