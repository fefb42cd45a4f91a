/**
 * `shadowllm generate`: text on stdout, token by token, with units really skipped.
 */
import type { Command } from 'commander'
import { defaultCache } from '../../engine/layer_cache.ts'
import { now } from '../../platform/platform.ts'
import type { GenerateStep } from '../../options.ts'
import { generationPlanners } from '../../planner_options.ts'
import type { ShadowModel } from '../../shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { withModel } from '../open_model.ts'
import { loadPlanFiles, plannersHelp } from '../planner_flags.ts'
import { jsonText } from '../report.ts'
import type { Session } from '../session.ts'
import { harmless } from '../words.ts'
import {
  addWritingFlags,
  samplingWords,
  systemFlag,
  withTemperature,
  writingOptions,
  type WritingFlags,
} from '../writing_flags.ts'

const help = `${plannersHelp(generationPlanners)}

The mask that the prompt decides holds for the whole text, unless --every decides again. At a terminal tokens are drawn at
temperature 0.7. A pipe and --json get the greedy text: the likeliest token each time. A line on stderr says which it was.
Ctrl-C keeps the text so far and ends with exit code 130.

Examples:
  $ shadowllm generate "Once upon a time"
  $ shadowllm generate "Once upon a time" --temperature 0
  $ shadowllm generate "The captain" --temperature 0.8 --top-k 40 --seed 7
  $ shadowllm generate "The captain" --planner random --sparsity 0.7 --max-tokens 32
  $ shadowllm generate "The captain" --planner shadow --sparsity 0.7
  $ shadowllm generate "The captain" --planner prompt-plainact --head-sparsity 0.3 --neuron-sparsity 0.8
  $ shadowllm generate "The captain" --planner shadow --every 16
  $ shadowllm generate -m facebook/opt-125m "The captain"
  $ shadowllm generate -m HuggingFaceTB/SmolLM2-135M-Instruct --chat "What is gravity?"
  $ shadowllm generate -m DIR "The captain" --planner static --calibration DIR
  $ shadowllm generate -m DIR "The captain" --planner dejavu --predictor FILE`

interface GenerateFlags extends WritingFlags {
  readonly chat?: boolean
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.argument('<prompt>', 'text to begin with')
  addWritingFlags(command, '64', (to) =>
    to
      .option('--chat', "the prompt is a user's message, which the model answers; it needs a chat template")
      .option('--system <text>', 'with --chat, the system message', systemFlag),
  )
    .addHelpText('after', help)
    .action((prompt: string, flags: GenerateFlags) => {
      if (flags.system !== undefined && !flags.chat)
        throw new UsageError('SYSTEM', '--system: expected --chat too, got it alone')
      return withModel(session, flags, (opt) =>
        runGenerate(session, opt, prompt, withTemperature(session, flags)),
      )
    })
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
  if (!flags.json && !flags.quiet) await session.note(`[${samplingWords(writingOptions(flags))}]`)
}

/** Writes the text and collects its steps; returns why it ended. */
async function write(
  session: Session,
  opt: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
  steps: GenerateStep[],
): Promise<string> {
  const options = { ...writingOptions(flags), signal: session.signal }
  const system = flags.system === undefined ? [] : [{ role: 'system', content: flags.system }]
  const text = flags.chat
    ? opt.chat([...system, { role: 'user', content: prompt }], options)
    : opt.generate(prompt, options)
  for (;;) {
    const { done, value } = await text.next()
    if (done) return value
    steps.push(value)
    if (!flags.json && value.text !== '')
      await session.print(session.isTerminal ? harmless(value.text) : value.text)
  }
}

function summary(
  { name, origin }: ShadowModel,
  prompt: string,
  flags: GenerateFlags,
  steps: readonly GenerateStep[],
  end: string,
  seconds: number,
): object {
  const { planner, sparsity, headSparsity, neuronSparsity, scope, every, prefill, cache, storage } = flags
  const { temperature, topK, topP, seed } = flags
  const isDense = planner === 'dense'
  return {
    model: name,
    ...(origin && { hub: origin }),
    ...(flags.system !== undefined && { system: flags.system }),
    prompt,
    text: steps.map((step) => step.text).join(''),
    tokens: steps.map((step) => step.token),
    end,
    seconds,
    planner,
    sparsity: isDense ? 0 : sparsity,
    ...(!isDense && { headSparsity, neuronSparsity, scope, every, prefill }),
    cache: cache ?? defaultCache(storage ?? 'f32'),
    temperature,
    topK,
    topP,
    seed,
  }
}
