/**
 * One number for the cases that a law was tried on, by which two runs can be compared.
 *
 * It is the CRC-32 of the arguments as values.ts writes them, case after case. It finds differences; it does not resist
 * forgery.
 */
import { crc32 } from '../platform/platform.ts'
import { encode } from './values.ts'

/** A checksum of cases as they come. */
export class CaseDigest {
  readonly #bytes = new TextEncoder()
  #sum = 0

  /** @throws TypeError for arguments that cannot be written down */
  add(args: unknown): void {
    // A line break never stands in JSON by itself, so where a case ends is part of what is summed.
    this.#sum = crc32(this.#bytes.encode(`${JSON.stringify(encode(args))}\n`), this.#sum)
  }

  /** Eight hexadecimal digits; zeros if nothing was drawn. */
  get value(): string {
    return this.#sum.toString(16).padStart(8, '0')
  }
}

/** One checksum for a list of reports on one backend: equal where the same laws were tried on the same cases. */
export function digestOfReports(
  reports: readonly { readonly law: string; readonly digest: string }[],
): string {
  const all = new CaseDigest()
  for (const { law, digest } of reports) all.add([law, digest])
  return all.value
}
