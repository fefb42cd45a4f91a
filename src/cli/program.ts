/**
 * The program: every command, its help and what all of them share.
 *
 * A command is a file in commands/. Only the command that is called is loaded; the help lists the others from the table
 * below. A command parses nothing by hand and prints through the session.
 */
import { Command } from 'commander'
import { withPackages } from '../tensor/packages.ts'
import type { Session } from './session.ts'

/** A command as the help of the program lists it, and how to load it. */
interface Listed {
  readonly usage: string
  readonly description: string
  load(): Promise<{ define(command: Command, session: Session): void }>
}

const commands: readonly Listed[] = [
  {
    usage: 'reproduce [options]',
    description: 'run the whole experiment: calibrate, train the predictors, evaluate, measure',
    load: () => import('./commands/reproduce.ts'),
  },
  {
    usage: 'calibrate [options]',
    description: 'collect the features and the unit scores that predictors learn from',
    load: () => import('./commands/calibrate.ts'),
  },
  {
    usage: 'train [options]',
    description: 'train a predictor on a calibration',
    load: () => import('./commands/train.ts'),
  },
  {
    usage: 'learn [options]',
    description: 'learn scores through the mask, and a predictor that corrects them by the prompt',
    load: () => import('./commands/learn.ts'),
  },
  {
    usage: 'generate [options] <prompt>',
    description: 'generate text from a prompt',
    load: () => import('./commands/generate.ts'),
  },
  {
    usage: 'chat [options]',
    description: 'talk with a model, and change what it skips between turns',
    load: () => import('./commands/chat.ts'),
  },
  {
    usage: 'serve [options]',
    description: 'answer requests in the form of the OpenAI API',
    load: () => withPackages('serve', 'hono @hono/node-server', () => import('./commands/serve.ts')),
  },
  {
    usage: 'masks [options] [prompt]',
    description: "show the mask that a planner decides for a prompt, and its overlap with the oracle's",
    load: () => import('./commands/masks.ts'),
  },
  {
    usage: 'perplexity [options]',
    description: 'measure perplexity per word and per token, dense and with units skipped',
    load: () => import('./commands/perplexity.ts'),
  },
  {
    usage: 'eval [options]',
    description: 'measure accuracy on multiple-choice tasks, dense and with units skipped',
    load: () => import('./commands/eval.ts'),
  },
  {
    usage: 'verify [options]',
    description: 'test the laws of the specification on the backends of this machine',
    load: () => withPackages('verify', 'fast-check', () => import('./commands/verify.ts')),
  },
  {
    usage: 'parity',
    description: 'validate a backend, of this project or any other',
    load: () => import('./commands/parity.ts'),
  },
  {
    usage: 'inspect [options] <path>',
    description: 'show the tensors and the configuration of a checkpoint without loading it',
    load: () => import('./commands/inspect.ts'),
  },
  {
    usage: 'convert [options] <source> <output>',
    description: 'write a checkpoint of any form as safetensors, without rounding',
    load: () => import('./commands/convert.ts'),
  },
  {
    usage: 'cost [options]',
    description: 'count the cost of a token for models too large to run here, dense and sparse',
    load: () => import('./commands/cost.ts'),
  },
  {
    usage: 'bench [options]',
    description: 'measure speed, dense and sparse, and compare it with the memory bandwidth of this machine',
    load: () => import('./commands/bench.ts'),
  },
  {
    usage: 'pretrain [options]',
    description: 'train a small OPT from text',
    load: () => import('./commands/pretrain.ts'),
  },
  {
    usage: 'worker [options]',
    description: 'run the jobs of a queue',
    load: () => import('./commands/worker.ts'),
  },
  {
    usage: 'jobs [options]',
    description: 'show queues: progress, rates, workers, failures',
    load: () => import('./commands/jobs.ts'),
  },
  {
    usage: 'doctor [options]',
    description: 'show the runtime, SIMD, threads, backends and memory of this machine',
    load: () => import('./commands/doctor.ts'),
  },
]

const exitCodesHelp = `
Exit codes:
  0 done   1 a check failed   2 usage   3 an input file was refused
  4 a backend or feature is missing   5 network or cache   130 interrupted

Start here:
  $ shadowllm reproduce --quick
  $ shadowllm generate "Once upon a time"
  $ shadowllm chat -m HuggingFaceTB/SmolLM2-135M-Instruct
  $ shadowllm <command> --help`

/** Every command a user can name, in the order of the help. */
export const commandNames: readonly string[] = commands.map(({ usage }) => usage.split(' ')[0])

/** The name of the command that these arguments call or ask help for. The program's own flags take no values. */
export function calledCommand(args: readonly string[]): string | undefined {
  const words = args.filter((arg) => !arg.startsWith('-'))
  return words[0] === 'help' ? words[1] : words[0]
}

/**
 * The whole command line. Its actions print to `session`; errors are thrown, never printed, and nothing exits.
 * @param print takes help and the version
 * @param isLoaded whether the command of a name is loaded (default: all); the others are only listed
 */
export async function makeProgram(
  session: Session,
  version: string,
  print: (text: string) => void,
  isLoaded: (name: string) => boolean = () => true,
): Promise<Command> {
  const program = new Command('shadowllm')
    .description(
      'ShadowLLM: predictor-based contextual sparsity for language models, as an executable specification.',
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
    .hook('preAction', (_, called) => {
      const { quiet, wide } = called.opts<{ quiet?: boolean; wide?: 'on' | 'off' }>()
      if (quiet) session.quieten()
      session.joinVectors(wide)
    })
  for (const { usage, description, load } of commands) {
    const [name] = usage.split(' ')
    const command = program.command(isLoaded(name) ? name : usage).description(description)
    if (isLoaded(name)) (await load()).define(command, session)
  }
  return program
}
