// SPDX-License-Identifier: MIT
/*
 * aws_target.h - how a user names the host of a session: the one grammar that the configuration checks by and that aws looks up by
 *
 *   i-0123456789abcdef0        an EC2 instance; mi-… a managed node; anything else without a mark of the kinds below: a gateway's host id
 *   i-…--eu-west-1             the same in another region than the account's; also behind mi-… and an address
 *   arn:aws:ec2:R:A:instance/i-…, arn:aws:ssm:R:A:managed-instance/mi-…
 *   tag:Name=bastion           the running instance with that tag; the value may hold * and ?, as EC2's filters take them
 *   ip-10-0-0-1.eu-west-1.compute.internal, i-….compute.internal    its private DNS name, which tells the region
 *   10.0.1.5, fd00:1::5        its private address
 */
#ifndef BASE_AWS_TARGET_H
#define BASE_AWS_TARGET_H

#include <stdbool.h>

#define AWS_TARGET_TEXT_MAX 401U  /* 400 and NUL; ssm-protocol.md 1.2: Target */
#define AWS_TARGET_TAG_MAX 129U	  /* 128 and NUL; EC2: the length of a tag's key */
#define AWS_TARGET_REGION_MAX 64U /* 63 and NUL: a label of a host name */

enum aws_target_kind {
	AWS_TARGET_ID, /* StartSession takes it as it is */
	AWS_TARGET_TAG,
	AWS_TARGET_DNS,
	AWS_TARGET_IP,
};

struct aws_target {
	enum aws_target_kind kind;
	char text[AWS_TARGET_TEXT_MAX];	    /* the id, the tag's value, the name or the address */
	char tag[AWS_TARGET_TAG_MAX];	    /* the tag's key */
	char region[AWS_TARGET_REGION_MAX]; /* told by the text itself; "": the account's */
	const char *why;		    /* after ST_EINVAL: what is expected; static */
};

/** aws_target_parse() - Return: 0; ST_EINVAL, with out->why */
int aws_target_parse(struct aws_target *out, const char *text);
/** aws_target_is_managed_node() - mi-…: a node outside of EC2 */
bool aws_target_is_managed_node(const struct aws_target *t);

#endif
