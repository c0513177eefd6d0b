"""What is started to be measured, and what stands around it: processes, databases, the stand-in for Proof."""
