/**
 * Checks names of models and revisions before they become part of a URL or a path.
 */
import { UsageError } from '../../tensor/errors.ts'
import { quote } from '../refusal.ts'
import { isGguf } from '../load.ts'
import { safePath } from '../safe_path.ts'

/** The default revision. */
export const DEFAULT_REVISION = 'main'

/** Letters and digits at both ends; dots, dashes and underscores between them, but no two adjacent dots or dashes. */
const NAME = /^(?!.*(?:--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?$/

/** Whether this can be the name of a model on the hub: an organisation and a name, as in `facebook/opt-1.3b`. */
export function isModelId(text: string): boolean {
  const parts = text.split('/')
  return parts.length === 2 && parts.every((part) => NAME.test(part)) && !text.endsWith('.git')
}

/** A file of a repository, as in `HuggingFaceTB/SmolLM2-135M-Instruct-GGUF/model.gguf`. */
export interface HubFile {
  readonly id: string
  /** Its path in the repository. */
  readonly file: string
}

/** The GGUF file that a text names on the hub; null if it does not have that form. Its path is unchecked. */
export function hubFileOf(text: string): HubFile | null {
  const [organisation, name, ...rest] = text.split('/')
  const [id, file] = [`${organisation}/${name}`, rest.join('/')]
  return name !== undefined && isModelId(id) && isGguf(file) ? { id, file } : null
}

/** Checks a name and returns it. @throws UsageError HUB_ID */
export function checkModelId(text: string): string {
  if (isModelId(text)) return text
  throw new UsageError(
    'HUB_ID',
    `model: expected a name such as facebook/opt-125m, got ${text === '' ? 'nothing' : quote(text)}`,
  )
}

/** Whether this is a full commit hash: the only revision that cannot change. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** Checks a revision (a branch, a tag or a commit) and returns it. @throws UsageError HUB_REVISION */
export function checkRevision(text: string): string {
  try {
    return safePath(text, 'revision')
  } catch (error) {
    throw new UsageError(
      'HUB_REVISION',
      `revision: expected a branch, a tag or a commit, got ${text === '' ? 'nothing' : quote(text)}`,
      { cause: error },
    )
  }
}
