/**
 * `shadowllm chat`: a conversation with a model that has a chat template.
 */
import type { Command } from 'commander'
import { expectTemperature } from '../../engine/sampling.ts'
import { generationPlanners } from '../../library/planner_options.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { runChat } from '../chat_loop.ts'
import type { LineInput } from '../../platform/platform.ts'
import { withModel } from '../open_model.ts'
import { loadPlanFiles } from '../planner_flags.ts'
import type { Session } from '../session.ts'
import type { FlagRow } from '../values.ts'
import {
  addWritingFlags,
  answerLimit,
  checkFiles,
  heldWords,
  expectChat,
  openSession,
  resumed,
  systemText,
  variablesFlag,
  withSampling,
  writingOptions,
  type WritingFlags,
} from '../writing_flags.ts'

const help = `
A line is a message, or a command; /help lists the commands. Lines that are pasted together are one message, never a command. To type a
message of several lines, end each but the last with a backslash. Lines that come before the first prompt, while the model loads, are taken one by one.

Ctrl-C ends the answer and keeps its beginning; twice at an empty line it ends the program, as ctrl-D and /quit do. Ctrl-D during an
answer ends the program after that answer.

At a terminal, tokens are drawn with the settings of the model's makers (generation_config.json), or at temperature 0.7 if there are none; the
first line says which. Through a pipe and with --json, the likeliest token is always taken (greedy) unless --temperature is given.

The planner decides a mask for each answer, from the whole conversation so far.

Input that is not a terminal is read line by line, so that a file can be a conversation. The exit code is then that of the last error.

Some models think before they answer. A terminal shows the thinking dimmed, and --json has it in the field "thinking"; it is not part of the
next prompt. Qwen3 does not think
with --chat-template-kwargs '{"enable_thinking":false}'.

With --session FILE the conversation goes on where that file left it, and is saved there after each answer, also after one that ctrl-C
ended. The file keeps the messages, the system message, and of the last answer the planner, the shares, the limit of tokens, and how tokens
were drawn (--temperature, --seed and the others). A flag replaces what it names and no more: --planner keeps the shares, --sparsity keeps
the planner. Other flags of masks, such as --scope and --check, are not in the file: give them again. Model, storage, cache and backend must be the same.

Examples:
  $ shadowllm chat -m FILE.gguf
  $ shadowllm chat -m FILE.gguf --planner griffin --sparsity 0.3
  $ shadowllm chat -m HuggingFaceTB/SmolLM2-135M-Instruct # npm i @huggingface/hub
  $ shadowllm chat -m DIR --system "You answer with one word." --temperature 0.7
  $ shadowllm chat -m DIR --session gravity.session
  $ printf 'Name a colour.\\nAnother one.\\n' | shadowllm chat -m DIR --json`

/** Gives the command its flags and action. */
export function define(command: Command, session: Session): void {
  const own: FlagRow[] = [
    ['--system <text>', "the system message (default: the template's own, or none)", systemText],
    variablesFlag(''),
  ]
  addWritingFlags(command, '1024', own, 'chatModel', answerLimit)
    .addHelpText('after', help)
    .action(async (flags: WritingFlags) => {
      if (!draws(session, flags)) expectTemperature(flags)
      await checkFiles(flags)
      // While the model loads, a terminal would write keys into the progress line.
      const lines = session.lines()
      try {
        await withModel(session, flags, (opt) => chat(session, opt, flags, lines))
      } finally {
        lines.close()
      }
    })
}

/** Whether answers are drawn if no temperature is asked for. */
function draws({ isTerminal }: Session, { json }: WritingFlags): boolean {
  return isTerminal && !json
}

async function chat(
  session: Session,
  opt: ShadowModel,
  asked: WritingFlags,
  lines: LineInput,
): Promise<void> {
  const saved = await openSession(opt, asked, true)
  const flags = await loadPlanFiles(session, opt, resumed(asked, saved), true)
  expectChat(opt, flags)
  const { system, json, quiet } = flags
  const { temperature } = withSampling(flags, opt.sampling, draws(session, flags))
  const options = {
    ...writingOptions({ ...flags, temperature }),
    chatTemplateKwargs: flags.chatTemplateKwargs,
  }
  const planners = generationPlanners.filter((name) => flags.usable.includes(name))
  const start = {
    options,
    system,
    json,
    quiet,
    saved,
    held: heldWords(opt, flags),
    learntWords: flags.learntWords,
    planners,
  }
  await runChat(session, opt, start, lines)
}
