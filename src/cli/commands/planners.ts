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

${listNames(({ skips }) => skips === 'neurons')} skip neurons only: --sparsity is the share of neurons, and a --head-sparsity above 0 is refused. ${listNames(({ skips }) => skips === 'channels')} skip no heads or neurons; they mask a share of the numbers that each matrix reads (its input channels), and measure how good such a choice can be. oracle reads the text that it is judged on, so commands that write text refuse it.

Which one:
  OPT    shadow, with a predictor made by "shadowllm train"; without a predictor, prompt-plainact
  gated  Llama, Mistral, Qwen2, SmolLM2: griffin; with a calibration, glass, or griffin-static to skip heads too; shadow with a predictor made by "shadowllm learn". Every mask costs these models much quality, because their neurons are never zero
  yours  measure it: shadowllm perplexity -m MODEL --text FILE --planner griffin,static,glass --calibration DIR --head-sparsity 0 --prefill dense

With --sparsity and no --planner:
  OPT    shadow
  gated  griffin, or glass with --calibration. shadow with --predictor, with a predictor beside the model, or where --every, --prefill masked or a share of heads is asked for. The predictor that this package has for SmolLM2-135M does not make a sparsity alone mean shadow, because it was not measured to be better than griffin; wherever shadow decides, it is used

Examples:
  $ shadowllm planners
  $ shadowllm masks "The captain" --planner prompt-plainact --sparsity 0.5`

/** Gives the command its help and action. */
export function define(command: Command, session: Session): void {
  command
    .addHelpText('after', text)
    .action(() => session.print(wrapHelp(`${text.trimStart()}\n`, session.screen.columns)))
}
