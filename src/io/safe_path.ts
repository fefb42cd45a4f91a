/**
 * Checks untrusted file names: of shards, archive entries, cache files and URLs.
 *
 * A name is checked by the rules of POSIX and of Windows on every system, so that a file that is safe here is safe where it is
 * copied to. An accepted name consists of plain segments joined by "/", which cannot leave the folder; the joined path is checked
 * once more.
 */
import { absolutePath, joinPath } from '../platform/platform.ts'
import { quote, refusal } from './refusal.ts'

const MAX_PATH_LENGTH = 1024
/** In bytes, as file systems count. */
const MAX_SEGMENT_LENGTH = 255

/** Device names of Windows, with any extension. */
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|$)/i

/** Characters with a special meaning on some system; "%" too, because it may be decoded twice. */
const SPECIAL = /[\\:%<>"|?*]/

/**
 * Checks that a name is safe to join to a folder, and returns it.
 * @param subject the source of the name, for errors.
 * @throws InputError PATH_UNSAFE with the reason.
 */
export function safePath(name: string, subject: string): string {
  const fault = faultOf(name)
  if (fault === null) return name
  throw refusal('PATH_UNSAFE', subject, 'the name of a file inside its folder', `${quote(name)} (${fault})`)
}

function faultOf(name: string): string | null {
  if (name === '') return 'empty'
  if (name.length > MAX_PATH_LENGTH) return 'too long'
  if (!name.isWellFormed() || /\p{C}/u.test(name)) return 'an invisible or control character'
  const special = SPECIAL.exec(name)
  if (special !== null) return `"${special[0]}"`
  for (const segment of name.split('/')) {
    const fault = faultOfSegment(segment)
    if (fault !== null) return fault
  }
  return null
}

function faultOfSegment(segment: string): string | null {
  if (segment === '') return 'absolute, or an empty folder name'
  if (segment === '.' || segment === '..') return `"${segment}"`
  if (new TextEncoder().encode(segment).length > MAX_SEGMENT_LENGTH) return 'too long'
  if (/^[ ]|[. ]$/.test(segment)) return 'a space around it or a dot at its end'
  if (DEVICE.test(segment)) return 'a device of Windows'
  // Unicode normalisation may turn look-alikes into dots and slashes.
  if (segment.normalize('NFKC') !== segment.normalize('NFC')) return 'a look-alike character'
  return null
}

/**
 * The path of a file inside a folder.
 * @throws InputError PATH_UNSAFE as `safePath`, and if the result would lie outside the folder.
 */
export function joinSafely(folder: string, name: string, subject: string): string {
  const root = absolutePath(folder)
  const path = absolutePath(joinPath(root, safePath(name, subject)))
  if (!isBelow(root, path)) throw refusal('PATH_UNSAFE', subject, `a file inside ${quote(root)}`, quote(name))
  return joinPath(folder, name)
}

/** Whether a path is inside a folder; both absolute and normalised. */
export function isBelow(folder: string, path: string): boolean {
  // A root such as "/" ends in its separator, any other folder does not.
  const separator = path.charAt(folder.length)
  const ends = /[\\/]$/.test(folder) || /[\\/]/.test(separator)
  return ends && path.length > folder.length && path.startsWith(folder)
}
