/**
 * What the surroundings say about the hub, in the variables that Python's huggingface_hub reads: where it is, where its
 * files are kept, who is asking, and whether it may be asked at all.
 */
import { cacheFolder, environment, homeFolder, joinPath, runtime } from '../../platform/platform.ts'
import { fileKind } from '../../platform/platform.ts'
import { UsageError } from '../../tensor/errors.ts'
import { readWhole } from '../files.ts'
import { quote } from '../refusal.ts'

/** Where the hub is and how it is asked. */
export interface HubSettings {
  /** Its address; nothing but host and path. */
  readonly endpoint: URL
  /** The folder that models are kept in, shared with Python. */
  readonly cache: string
  /** Whose files may be read; null for nobody's. */
  readonly token: string | null
  /** Never ask: what is kept must do. */
  readonly offline: boolean
  /** Lets so many milliseconds pass. @throws the signal's reason */
  readonly wait: (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>
  /** The current time in milliseconds since 1970. A `retry-after` header may be a date. */
  readonly now: () => number
  /** Milliseconds without a byte after which a connection counts as dropped. */
  readonly stallAfter: number
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
/** A token is a line; what is longer is some other file. */
const MAX_TOKEN_LENGTH = 4096

/**
 * Reads HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_TOKEN_PATH and
 * HF_HUB_DISABLE_IMPLICIT_TOKEN.
 * @throws UsageError HUB_ENDPOINT, HUB_TOKEN; InputError FILE_* for a file of a token that cannot be read
 */
export async function readHubSettings(): Promise<HubSettings> {
  if (runtime.name === 'browser') return pageSettings
  const home = folderFrom('HF_HOME') ?? joinPath(cacheFolder(), 'huggingface')
  const offline = isTrue('HF_HUB_OFFLINE')
  return {
    endpoint: readEndpoint(variable('HF_ENDPOINT') ?? DEFAULT_ENDPOINT),
    cache: folderFrom('HF_HUB_CACHE') ?? joinPath(home, 'hub'),
    token: offline ? null : await readToken(folderFrom('HF_TOKEN_PATH') ?? joinPath(home, 'token')),
    offline,
    wait,
    now: Date.now,
    stallAfter: 60_000,
  }
}

/** Those of a page, which has no surroundings: it asks the usual hub as nobody, and keeps nothing. */
const pageSettings: HubSettings = {
  endpoint: new URL(DEFAULT_ENDPOINT),
  cache: '',
  token: null,
  offline: false,
  wait,
  now: Date.now,
  stallAfter: 60_000,
}

/** A variable that is set to nothing is not set. */
function variable(name: string): string | undefined {
  return environment(name)?.trim() || undefined
}

function isTrue(name: string): boolean {
  return /^(?:1|on|yes|true)$/i.test(variable(name) ?? '')
}

/** A folder or a file, with "~" for the user's own folder. */
function folderFrom(name: string): string | undefined {
  const path = variable(name)
  return path !== undefined && /^~(?:[\\/]|$)/.test(path) ? joinPath(homeFolder(), path.slice(1)) : path
}

function readEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  const plain = url !== null && url.username === '' && url.password === '' && url.search + url.hash === ''
  if (plain && /^https?:$/.test(url.protocol)) return url
  throw new UsageError(
    'HUB_ENDPOINT',
    `HF_ENDPOINT: expected an address such as ${DEFAULT_ENDPOINT}, got ${quote(text)}`,
  )
}

async function readToken(path: string): Promise<string | null> {
  const named = variable('HF_TOKEN')
  if (named === undefined && (isTrue('HF_HUB_DISABLE_IMPLICIT_TOKEN') || (await fileKind(path)) !== 'file'))
    return null
  const token = named ?? new TextDecoder().decode(await readWhole(path, MAX_TOKEN_LENGTH)).trim()
  if (token === '') return null
  // A line break would begin a header of its own. The token itself is not shown.
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new UsageError(
    'HUB_TOKEN',
    `${named === undefined ? path : 'HF_TOKEN'}: expected a token, got text with spaces or control characters`,
  )
}

async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
  })
  signal?.throwIfAborted()
}
