/**
 * `shadowllm generate`: text on stdout, token by token, with units really skipped.
 */
import { Option, type Command } from 'commander'
import type { MaskMode } from '../../model/opt/unit_lists.ts'
import { now } from '../../platform/platform.ts'
import { generationPlanners, type GenerationPlanner } from '../../planner_options.ts'
import type { GenerateStep, ShadowOpt } from '../../shadow_opt.ts'
import { UsageError } from '../../tensor/errors.ts'
import { backendOption, modelOption, quietOption, seedOption, type ModelFlags } from '../flags.ts'
import { withModel } from '../open_model.ts'
import type { Session } from '../session.ts'
import { numberFlag, sparsityFlag, wholeFlag } from '../values.ts'

const help = `
Planners:
  dense    everything is computed
  random   a random choice of heads and neurons is skipped
  shadow   those that the predictor expects to matter least are skipped; it is --predictor, else predictor.safetensors
           in the model's folder (the embedded model has one)

Ctrl-C keeps what was written and ends with exit code 130.

Examples:
  $ shadowllm generate "Once upon a time"
  $ shadowllm generate "The captain" --temperature 0.8 --top-k 40 --seed 7
  $ shadowllm generate "The captain" --planner random --sparsity 0.7 --max-tokens 32
  $ shadowllm generate "The captain" --planner shadow --sparsity 0.7
  $ shadowllm generate -m DIR "The captain" --planner shadow --predictor FILE`

interface GenerateFlags extends ModelFlags {
  readonly planner: GenerationPlanner
  readonly predictor?: string
  readonly sparsity: number
  readonly maxTokens?: number
  readonly temperature: number
  readonly topK?: number
  readonly topP: number
  readonly seed: number
  readonly mode: MaskMode
  readonly json?: boolean
}

const count = { least: 1, most: Infinity }

/** Adds the command. */
export function addGenerate(program: Command, session: Session): void {
  program
    .command('generate')
    .description('write on from a prompt')
    .argument('<prompt>', 'text to begin with')
    .addOption(modelOption())
    .addOption(planner())
    .option('--predictor <file>', 'what the shadow planner asks, made by reproduce --save-predictor')
    .option('--sparsity <share>', 'share of heads and neurons to skip, from 0 to 1', sparsityFlag, 0.5)
    .option('--max-tokens <count>', 'how many tokens at most (default: 64)', wholeFlag('max-tokens', count))
    .option('--temperature <number>', '0 is greedy', numberFlag('temperature', { least: 0, most: 100 }), 0)
    .option('--top-k <count>', 'draw among this many tokens only (default: all)', wholeFlag('top-k', count))
    .option('--top-p <share>', 'draw among the likeliest tokens that hold this share together', topPFlag, 1)
    .addOption(seedOption())
    .addOption(backendOption())
    .addOption(mode())
    .option('--json', 'print one JSON object at the end instead of text')
    .addOption(quietOption())
    .addHelpText('after', help)
    .action((prompt: string, flags: GenerateFlags) =>
      withModel(session, flags, (opt) => runGenerate(session, opt, prompt, flags)),
    )
}

function planner(): Option {
  return new Option('--planner <name>', 'who decides what is skipped')
    .choices(generationPlanners)
    .default('dense')
}

function mode(): Option {
  const description = 'leave the work of skipped units out, or do it and multiply by zero'
  return new Option('--mode <name>', description).choices(['skip', 'simulate']).default('skip')
}

function topPFlag(text: string): number {
  const share = numberFlag('top-p', { least: 0, most: 1 })(text)
  if (share > 0) return share
  throw new UsageError('VALUE', '--top-p: expected a share above 0, got 0')
}

async function runGenerate(
  session: Session,
  opt: ShadowOpt,
  prompt: string,
  flags: GenerateFlags,
): Promise<void> {
  if (flags.predictor !== undefined) await opt.loadPredictor(flags.predictor)
  const steps: GenerateStep[] = []
  const start = now()
  let end: string = 'interrupted'
  try {
    end = await write(session, opt, prompt, flags, steps)
  } finally {
    // Ctrl-C ends the writing with an error; what there is by then is kept all the same.
    if (flags.json && (end !== 'interrupted' || session.signal.aborted)) {
      const seconds = (now() - start) / 1000
      await session.print(`${JSON.stringify(summary(prompt, flags, steps, end, seconds), null, 2)}\n`)
    } else if (steps.length > 0) await session.print('\n')
  }
}

/** Writes the text and collects its steps; returns why it ended. */
async function write(
  session: Session,
  opt: ShadowOpt,
  prompt: string,
  flags: GenerateFlags,
  steps: GenerateStep[],
): Promise<string> {
  const { planner, sparsity, maxTokens, temperature, topK, topP, seed, mode } = flags
  const { signal } = session
  const options = { planner, sparsity, maxTokens, temperature, topK, topP, seed, mode, signal }
  const text = opt.generate(prompt, options)
  for (;;) {
    const { done, value } = await text.next()
    if (done) return value
    steps.push(value)
    if (!flags.json && value.text !== '') await session.print(value.text)
  }
}

function summary(
  prompt: string,
  { planner, sparsity, seed }: GenerateFlags,
  steps: readonly GenerateStep[],
  end: string,
  seconds: number,
): object {
  return {
    prompt,
    text: steps.map((step) => step.text).join(''),
    tokens: steps.map((step) => step.token),
    end,
    seconds,
    planner,
    sparsity: planner === 'dense' ? 0 : sparsity,
    seed,
  }
}
