/**
 * The program: every command, its help and what all of them share.
 *
 * A command is a file in commands/ that adds itself here; it parses nothing by hand and prints through the session.
 */
import { Command } from 'commander'
import type { Session } from './session.ts'
import { addBench } from './commands/bench.ts'
import { addCalibrate } from './commands/calibrate.ts'
import { addConvert } from './commands/convert.ts'
import { addCost } from './commands/cost.ts'
import { addDoctor } from './commands/doctor.ts'
import { addEval } from './commands/eval.ts'
import { addGenerate } from './commands/generate.ts'
import { addInspect } from './commands/inspect.ts'
import { addJobs } from './commands/jobs.ts'
import { addMasks } from './commands/masks.ts'
import { addParity } from './commands/parity.ts'
import { addPerplexity } from './commands/perplexity.ts'
import { addPretrain } from './commands/pretrain.ts'
import { addReproduce } from './commands/reproduce.ts'
import { addTrain } from './commands/train.ts'
import { addWorker } from './commands/worker.ts'
import { addVerify } from './commands/verify.ts'

const exitCodesHelp = `
Exit codes:
  0 done   1 a check failed   2 usage   3 an input file was refused
  4 a backend or feature is missing   5 network or cache   130 interrupted

Start here:
  $ shadowllm reproduce --quick
  $ shadowllm generate "Once upon a time"
  $ shadowllm <command> --help`

/**
 * The whole command line. Its actions print to `session`; errors are thrown, never printed, and nothing exits.
 * @param print takes help and the version
 */
export function makeProgram(session: Session, version: string, print: (text: string) => void): Command {
  const program = new Command('shadowllm')
    .description(
      'ShadowLLM: predictor-based contextual sparsity for OPT models, as an executable specification.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .option('--debug', 'show where an error came from')
    .exitOverride()
    // main.ts prints errors, in its own form; help and the version go to stdout, whoever asked for them.
    .configureOutput({ writeOut: print, writeErr: print, outputError: () => {} })
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .addHelpText('after', exitCodesHelp)
  for (const add of [
    addReproduce,
    addCalibrate,
    addTrain,
    addGenerate,
    addMasks,
    addPerplexity,
    addEval,
    addVerify,
    addParity,
    addInspect,
    addConvert,
    addCost,
    addBench,
    addPretrain,
    addWorker,
    addJobs,
    addDoctor,
  ])
    add(program, session)
  return program
}
