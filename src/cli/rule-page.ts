/** The page of a build check, as a path in this project and in the installed package. */
export function rulePage(rule: string): string {
  return `docs/checks/${rule}.md`;
}
