/**
 * One number for the cases that a law was tried on, by which two runs can be compared.
 *
 * It is the CRC-32 of the arguments as values.ts writes them, case after case. It finds differences; it does not resist
 * forgery.
 */
import { crc32 } from '../platform/platform.ts'

/** A checksum of cases as they come. */
export class CaseDigest {
  readonly #bytes = new TextEncoder()
  readonly #encode: (args: unknown) => unknown
  #sum = 0

  /** @param encode makes JSON of arguments, as values.ts does */
  constructor(encode: (args: unknown) => unknown) {
    this.#encode = encode
  }

  /** @throws TypeError for arguments that cannot be written down */
  add(args: unknown): void {
    // A line break never stands in JSON by itself, so where a case ends is part of what is summed.
    this.#sum = crc32(this.#bytes.encode(`${JSON.stringify(this.#encode(args))}\n`), this.#sum)
  }

  /** Eight hexadecimal digits; zeros if nothing was drawn. */
  get value(): string {
    return this.#sum.toString(16).padStart(8, '0')
  }
}

/**
 * One checksum for the reports of a run on one backend: two runs with the same one tried the same laws on the same cases.
 * @param reports in the order of the laws
 */
export function digestOfReports(
  reports: readonly { readonly law: string; readonly digest: string }[],
): string {
  const all = new CaseDigest((words) => words)
  for (const { law, digest } of reports) all.add([law, digest])
  return all.value
}
