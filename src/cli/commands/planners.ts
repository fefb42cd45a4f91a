/**
 * `shadowllm planners`: what each planner keeps, and what it decides by.
 */
import type { Command } from 'commander'
import { plannerOf, plannerNames } from '../../planners/index.ts'
import { listNames } from '../flags.ts'
import { wrapHelp } from '../help.ts'
import type { Session } from '../session.ts'

const width = Math.max(...plannerNames.map(({ length }) => length))
const rows = plannerNames.map((name) => `  ${name.padEnd(width)}  ${plannerOf(name).help}`)
const text = `
Planners:
${rows.join('\n')}

${listNames(({ skips }) => skips === 'neurons')} decide about neurons only: --sparsity is theirs, and a --head-sparsity above 0 is refused. ${listNames(({ skips }) => skips === 'channels')} mask that share of the input channels, and no unit; their numbers say how good choices of inputs can be. oracle sees what it is judged on: commands that write text do not take it.

Which one:
  OPT    shadow, whose predictor "shadowllm train" makes; prompt-plainact without one
  gated  Llama, Mistral, Qwen2, SmolLM2: griffin; with a calibration glass, for heads too griffin-static; shadow if "shadowllm learn" made its predictor. Every mask costs much here, because neurons are never zero
  yours  measure it: shadowllm perplexity -m MODEL --text FILE --planner griffin,static,glass --calibration DIR --head-sparsity 0 --prefill dense

With --sparsity and no --planner:
  OPT    shadow
  gated  griffin, or glass with --calibration. shadow with --predictor, with a predictor beside the model, or where --every, --prefill masked or a share of heads is asked for. The predictor of this package for SmolLM2-135M waits for --planner shadow: it was not measured to be better than griffin

Examples:
  $ shadowllm planners
  $ shadowllm masks "The captain" --planner prompt-plainact --sparsity 0.5`

/** Gives the command its help and action. */
export function define(command: Command, session: Session): void {
  command
    .addHelpText('after', text)
    .action(() => session.print(wrapHelp(`${text.trimStart()}\n`, session.screen.columns)))
}
