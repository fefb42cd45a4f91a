/**
 * The thread of pool.ts: opens a model, then collects an example for each task it is given.
 */
import { createBackend } from '../../backends/select.ts'
import { openModelFolder } from '../../io/load.ts'
import { parseOptConfig } from '../../model/opt/config.ts'
import { OptModel } from '../../model/opt/opt_model.ts'
import { listenAsThread } from '../../platform/platform.ts'
import { collectTask, type ThreadAnswer, type ThreadMessage, type ThreadModel } from './pool.ts'

let opened: Promise<OptModel> | null = null

async function open({ path, backend }: ThreadModel): Promise<OptModel> {
  const folder = await openModelFolder(path)
  try {
    return await OptModel.load(parseOptConfig(folder.configJson), folder.source, await createBackend(backend))
  } finally {
    await folder.source.close()
  }
}

async function answerTo(message: ThreadMessage): Promise<ThreadAnswer | null> {
  try {
    if ('open' in message) opened = open(message.open)
    const model = await opened
    return 'task' in message && model ? collectTask(model, message.task) : null
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

const send = listenAsThread((message) => {
  void answerTo(message as ThreadMessage).then((answer) => answer && send?.(answer))
})
