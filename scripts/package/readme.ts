/**
 * README.md of the package: that of the checkout without pictures and notes to tools, with links only to what is packed.
 *
 * Between `<!-- checkout -->` and `<!-- /checkout -->` stands what only a checkout has; `<!-- package` begins a comment whose
 * text stands in the package in its place.
 */

/** @param isPacked whether the package has a file of this path */
export function packageReadme(readme: string, isPacked: (path: string) => boolean): string {
  return readme
    .replaceAll(/<!-- checkout -->[^]*?<!-- \/checkout -->\n*/g, '')
    .replaceAll(/<!-- package\n([^]*?)\n-->/g, '$1')
    .replaceAll(/^<!--[^]*?-->\n+/gm, '')
    .replaceAll(/<!--[^]*?-->/g, '')
    .replaceAll(/!\[[^\]]*\]\([^)]*\)\n*/g, '')
    .replaceAll(/\[([^[\]]*)\]\(([^)]*)\)/g, (link, words: string, to: string) =>
      /^(#|https:)/.test(to) || isPacked(to.replace(/#.*/, '')) ? link : words,
    )
}
