// Stands for a package that the flame graph's header has a button of. It is no part of what is drawn.
export const OpenAssistantButton = () => null;
